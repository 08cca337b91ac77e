"""Made-up results of studies and runs, for tests of studies and pages."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation.significance import wilson
from atelier.runs.folder import Run
from atelier.studies import results
from atelier.studies.results import Provenance, Result

WRONG = dict(zip(MODELS, (37, 66, 60, 54, 47), strict=False))  # of 10,000 test digits
PROVENANCE = Provenance(
    study="",
    quick=False,
    date="2026-11-23T20:00:00+00:00",
    device="cpu",
    device_name="2 CPU cores",
    seeds=[0, 1],
    versions={"torch": "2.15.0"},
    commit="001f603ab0cd",
    weights={},
    data="0123456789abcdef",
    command="",
    seconds=125.0,
    points=5,
    of=5,
    finished=True,
    rows=0,
)


def provenance(study: str, **changes) -> Provenance:
    return replace(PROVENANCE, study=study, command=f"python -m atelier study {study}", **changes)


def write(
    folder: Path, study: str, table: pd.DataFrame, arrays: dict[str, np.ndarray] | None = None, **changes
) -> None:
    """The files that a study leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{study}.csv", index=False)
    content = asdict(provenance(study, **{"rows": len(table)} | changes))
    (folder / f"{study}.json").write_text(json.dumps(content))
    if arrays:
        np.savez_compressed(folder / f"{study}.npz", **arrays)


def leaderboard(wrong: dict[str, int] = WRONG, kind: str = "shipped", model: str = "", **changes) -> Result:
    """A leaderboard of networks that misread so many test digits: the first ones, with confidence 0.5."""
    _, labels = mnist.load("test")
    rows, arrays = [], {}
    for number, (network, mistakes) in enumerate(wrong.items(), start=1):
        is_wrong = np.arange(len(labels)) < mistakes
        arrays[f"{network}_guess"] = np.where(is_wrong, (labels + number) % 10, labels).astype(np.uint8)
        arrays[f"{network}_confidence"] = np.where(is_wrong, 0.5, 0.95).astype(np.float16)
        accuracy = 1 - mistakes / len(labels)
        low, high = wilson(len(labels) - mistakes, len(labels))
        rows.append(
            {"network": network, "kind": kind, "model": model or network, "accuracy": accuracy}
            | {"wilson_low": low, "wilson_high": high, "macro_f1": accuracy, "log_loss": 0.01 * number}
            | {"calibration_error": 0.001 * number, "parameters": 1_000 * number, "trained_parameters": 100 * number}
            | {"multiply_adds": 10_000 * number, "megabytes": 1.5 * number, "training_seconds": 100.0 * number}
            | {"training_device": "2 CPU cores", "latency_p50_ms": 1.0 * number, "latency_p95_ms": 1.5 * number}
            | {"throughput_per_second": 4_000.0 / number, "peak_memory_mb": 300.0 + number}
        )
    return Result(pd.DataFrame(rows), provenance("leaderboard", rows=len(rows), **changes), arrays)


def write_leaderboard(folder: Path, wrong: dict[str, int] = WRONG, kind="shipped", model="", **changes) -> None:
    """The files of a leaderboard, see `leaderboard`."""
    result = leaderboard(wrong, kind, model)
    write(folder, "leaderboard", result.table, result.predictions, **changes)


def study_run(study: str, status: str = "done", **config) -> Run:
    """The folder of a study on this computer."""
    config = {"study": study, "model": study, "quick": True, "networks": [], "device": "cpu", "points": []} | config
    run = Run.create(results.studies_in(paths.RUNS), config)
    run.set_status(status)
    return run


def own_run(name: str = "My CNN") -> Run:
    """A finished training of the CNN on this computer."""
    run = Run.create(paths.RUNS, {"model": "cnn", "network": {}, "device_name": "2 CPU cores"})
    run.path("best.safetensors").write_bytes(b"weights")
    run.set_status("done")
    run.rename(name)
    return run
