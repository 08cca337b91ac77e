"""Results of studies and runs that nobody made, for tests of the Compare page."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation.significance import wilson
from atelier.runs.folder import Run
from atelier.studies import results

WRONG = {"cnn": 37, "faster_rcnn": 66, "vgg16": 60, "alexnet": 54, "vit": 47}  # of 10,000
COSTS = {  # parameters, seconds of training, milliseconds for a digit
    "cnn": (246_522, 77.0, 0.6),
    "faster_rcnn": (1_127_236, 3037.0, 3.4),
    "vgg16": (14_848_586, 835.0, 10.2),
    "alexnet": (2_538_058, 346.0, 1.7),
    "vit": (678_730, 1288.0, 1.6),
}


def write(folder: Path, study: str, table: pd.DataFrame, arrays: dict[str, np.ndarray] | None = None, **header) -> None:
    """The files that a study leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = table.select_dtypes("number")
    told = {"study": study, "title": study, "quick": False, "date": "2026-11-23T20:00:00+00:00", "device": "cpu"}
    told |= {"device_name": "2 CPU cores", "seeds": [0, 1], "versions": {"torch": "2.15.0"}, "commit": "001f603ab0cd"}
    told |= {"weights": {}, "data": mnist.fingerprint(), "command": f"python -m atelier study {study}"}
    told |= {"seconds": 125.0, "points": 5, "of": 5, "finished": True, "rows": len(table)}
    told["columns"] = {column: "number" if column in numbers else "text" for column in table}
    table.to_csv(folder / f"{study}.csv", index=False)
    (folder / f"{study}.json").write_text(json.dumps(told | header))
    if arrays:
        np.savez_compressed(folder / f"{study}.npz", **arrays)


def leaderboard(folder: Path, wrong: dict[str, int] = WRONG, kind: str = "shipped", model: str = "", **header) -> None:
    """A leaderboard of networks that misread so many test digits, half of them the same ones."""
    _, labels = mnist.load("test")
    rows, arrays = [], {}
    for seed, (network, mistakes) in enumerate(wrong.items()):
        rng = np.random.default_rng(seed)
        shared, own = np.random.default_rng(99).permutation(10_000)[: mistakes // 2], rng.permutation(10_000)
        missed = np.concatenate([shared, np.setdiff1d(own, shared, assume_unique=True)[: mistakes - len(shared)]])
        guess, sure = labels.copy(), 1 - rng.beta(0.1, 8, 10_000)
        guess[missed] = (labels[missed] + rng.integers(1, 10, mistakes)) % 10
        sure[missed] = rng.uniform(0.3, 1, mistakes)
        arrays |= {f"{network}_guess": guess.astype(np.uint8), f"{network}_confidence": sure.astype(np.float16)}
        parameters, seconds, milliseconds = COSTS.get(network, COSTS["cnn"])
        low, high = wilson(10_000 - mistakes, 10_000)
        rows.append(
            {"network": network, "kind": kind, "model": model or network, "accuracy": 1 - mistakes / 10_000}
            | {"wilson_low": low, "wilson_high": high, "macro_f1": 1 - mistakes / 10_000, "log_loss": mistakes / 4_000}
            | {"calibration_error": mistakes / 20_000, "parameters": parameters, "trained_parameters": parameters // 2}
            | {"multiply_adds": 40 * parameters, "megabytes": parameters / 5e5, "training_seconds": seconds}
            | {"training_device": "2 CPU cores", "latency_p50_ms": milliseconds, "latency_p95_ms": 1.3 * milliseconds}
            | {"throughput_per_second": 4e3 / milliseconds, "peak_memory_mb": 300.0 + parameters / 1e5}
        )
    write(folder, "leaderboard", pd.DataFrame(rows), arrays, **header)


def look(page, view: str):
    page.run()
    page.segmented_control(key="view").set_value(view).run()
    assert not page.exception
    return page


def conducted(study: str, state: str = "done", **config) -> Run:
    """The folder of a study that was conducted here."""
    config = {"study": study, "model": study, "quick": True, "networks": [], "device": "cpu", "points": []} | config
    run = Run.create(results.studies_in(paths.RUNS), config)
    run.set_status(state)
    return run


def own_run(name: str = "My CNN") -> Run:
    run = Run.create(paths.RUNS, {"model": "cnn", "network": {}, "device_name": "2 CPU cores"})
    run.path("best.safetensors").write_bytes(b"weights")
    run.set_status("done")
    run.rename(name)
    return run


def written(elements) -> str:
    return " ".join(element.value for element in elements)


assert WRONG.keys() == COSTS.keys() == MODELS.keys()
