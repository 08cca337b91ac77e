"""Results of studies: those that ship with the project, and those of this computer.

A study leaves `<name>.csv`, the table, and `<name>.json`, its provenance. The leaderboard also leaves `<name>.npz`, the
predictions. `conduct.py` writes them. `read` validates them; everything behind it trusts them.

Pages import this module: no PyTorch here.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import Any, get_origin

import numpy as np
import pandas as pd

from atelier import files, paths
from atelier.runs.folder import Run, RunError
from atelier.studies import STUDIES
from atelier.zoo import MODELS

SHIPPED = paths.CHECKPOINTS / "studies"


class ResultError(ValueError):
    """Results that are missing or unusable; the message gives the reason in one sentence."""


@dataclass(frozen=True)
class Provenance:
    """What was measured, when, where and how."""

    study: str
    quick: bool
    date: str  # ISO 8601
    device: str  # "cpu", "cuda" or "mps"
    device_name: str
    seeds: list[int]
    versions: dict[str, str]  # of libraries
    commit: str  # of this project
    weights: dict[str, str]  # by network, see `fingerprints`
    data: str  # fingerprint of MNIST
    command: str  # measures the same again
    seconds: float
    points: int  # measured so far
    of: int
    finished: bool
    rows: int  # of the table

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Provenance":
        """Check and convert the content of a JSON file.

        Raises:
            KeyError, TypeError: if a field is missing or has another type.
        """
        for field in fields(cls):
            allowed: Any = (int, float) if field.type is float else get_origin(field.type) or field.type
            if not isinstance(values[field.name], allowed):
                raise TypeError(f"{field.name} is of another type")
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Result:
    """The results of a study."""

    table: pd.DataFrame  # with the columns of the study, never empty; missing numbers are NaN, missing texts ""
    provenance: Provenance
    predictions: dict[str, np.ndarray]  # of the leaderboard, see there; empty if they are missing


# Reading -------------------------------------------------------------------------------------------------------------


def shipped(name: str) -> Result:
    """The results of a study that ship with the project; errors as `read`."""
    return read(SHIPPED, name)


def local(name: str) -> Result:
    """The newest complete results of a study on this computer; without any, the newest incomplete ones.

    The leaderboard is merged from all of them, see `merged`.

    Raises:
        ResultError: if there are none, or all are damaged.
    """
    results, problem = [], ResultError(f"“{name}” has not been measured on this computer yet.")
    for run in local_runs(name, paths.RUNS):
        if run.path(f"{name}.json").is_file():  # which is written last
            try:
                results.append(read(run.folder, name))
            except ResultError as error:  # an older one may be whole
                problem = error
    if not results:
        raise problem
    if name == "leaderboard":
        return merged(results)
    return next((result for result in results if result.provenance.finished), results[0])


def merged(results: list[Result]) -> Result:
    """Leaderboards as one, with the newest row of each network.

    Results of other devices, versions or data than the newest are left out, and older rows of runs that were deleted.

    Args:
        results: the newest first, at least one.
    """
    newest = results[0].provenance
    circumstances = ("device_name", "versions", "data")
    alike = [r for r in results if all(getattr(r.provenance, key) == getattr(newest, key) for key in circumstances)]
    table = pd.concat([result.table for result in alike]).drop_duplicates("network")
    kept = {*MODELS, *results[0].table.network, *(run.id for run in Run.all(paths.RUNS))}
    table = table[table.network.isin(kept)].reset_index(drop=True)
    predictions: dict[str, np.ndarray] = {}
    weights: dict[str, str] = {}
    for result in reversed(alike):
        predictions |= result.predictions
        weights |= result.provenance.weights
    provenance = replace(
        newest,
        weights={network: weights[network] for network in table.network if network in weights},
        commit=", ".join(dict.fromkeys(result.provenance.commit for result in alike)),
        command=command("leaderboard", newest.quick, newest.device, [*map(str, table.network)]),
        rows=len(table),
        points=len(table),
        of=len(table),
        finished=True,
    )
    return Result(table, provenance, predictions) if len(results) > 1 else results[0]


def read(folder: Path, name: str) -> Result:
    """Read and validate the results of a study in a folder.

    Raises:
        ResultError: if they are missing or damaged.
    """
    if name not in STUDIES:
        raise ResultError(f"There is no study {name!r}. The studies are {', '.join(STUDIES)}.")
    title = STUDIES[name].title
    try:
        provenance = Provenance.from_json(json.loads((folder / f"{name}.json").read_text("utf-8")))
        table = _table((folder / f"{name}.csv").read_text("utf-8"), name)
    except FileNotFoundError:
        raise ResultError(
            f"The results of “{title}” are missing. Run `python -m atelier study {name}` to measure them."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise ResultError(f"The results of “{title}” are damaged or incomplete. Measure them again.") from None
    problem = "they belong to another study" if provenance.study != name else _problem(table, name)
    if len(table) < provenance.rows:  # it may have grown since
        problem = "rows are missing"
    if problem:
        raise ResultError(f"The results of “{title}” cannot be used: {problem}. Measure them again.")
    return Result(table, provenance, files.read_npz(folder / f"{name}.npz"))


def _table(text: str, name: str) -> pd.DataFrame:
    """The table of a CSV.

    Raises:
        ValueError: if it does not hold a table, or breaks off within a line.
    """
    texts = {column: str for column, kind in STUDIES[name].columns.items() if kind.kind == "text"}
    # Only an empty cell is empty: the backbone "none" is a text.
    table = pd.read_csv(StringIO(text), dtype=texts, keep_default_na=False, na_values=[""])
    if not text.endswith("\n"):
        raise ValueError("cut off")
    return table.fillna(dict.fromkeys(texts.keys() & set(table), ""))


def _problem(table: pd.DataFrame, name: str) -> str:
    """Why findings and figures cannot be made of a table; empty if they can."""
    study = STUDIES[name]
    if table.empty:
        return "they are empty"
    if missing := [column for column in study.columns if column not in table]:
        return f"{missing[0]} is missing"
    if unknown := set(table.get("model", table.network)) - MODELS.keys():
        return f"the network {sorted(unknown)[0]} is unknown"
    if table.duplicated(list(study.points(False)[0])).any():
        return "a point stands in the table twice"
    measured = table[table.note == ""] if "note" in table else table
    for column, kind in study.columns.items():
        if not kind.accepts(measured[column]):
            return f"{column} holds an impossible value"
    return ""


# Runs of studies -----------------------------------------------------------------------------------------------------


def command(study: str, quick: bool, device: str, networks: Sequence[str] = ()) -> str:
    """The command that measures a study on a device."""
    only = ["--networks", *networks] if networks else []
    return " ".join(["python -m atelier study", study, *["--quick"] * quick, "--device", device, *only])


def local_runs(name: str, folder: Path) -> list[Run]:
    """The runs of a study in a folder of runs, newest first, with or without results."""
    return [run for run in Run.all(studies_in(folder)) if _study_of(run) == name]


def studies_in(folder: Path) -> Path:
    """Where a folder of runs keeps its studies."""
    return Path(folder) / "studies"


def _study_of(run: Run) -> str:
    try:
        return str(run.read("config.json").get("study", ""))
    except (RunError, OSError):
        return ""


# Weights -------------------------------------------------------------------------------------------------------------


def outdated(provenance: Provenance) -> list[str]:
    """The networks and runs whose weights have changed since they were measured; deleted runs are left out."""
    measured = provenance.weights
    current = fingerprints(provenance.study, list(measured))
    return [name for name in measured if (name in MODELS or name in current) and measured[name] != current.get(name)]


def fingerprints(study: str, networks: list[str]) -> dict[str, str]:
    """The first 16 hexadecimal digits of the SHA-256 of each network's weights, as far as it has any.

    Args:
        study: one that trains its own networks builds on their backbones.
        networks: names in MODELS, or ids of runs.
    """
    digests = {}
    for name in networks:
        file = paths.RUNS / name / "best.safetensors"
        if name in MODELS:
            file = MODELS[name].backbone if STUDIES[study].trains else MODELS[name].checkpoint
        if file.is_file():
            with open(file, "rb") as content:
                digests[name] = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    return digests
