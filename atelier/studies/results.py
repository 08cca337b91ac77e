"""What studies have measured: the results that ship with the project, and those of this machine.

A study leaves `<name>.csv`, the table, and `<name>.json`, the header: what was measured, when, where and with which
command. A study that keeps every single answer leaves `<name>.npz` beside them. `conduct.py` writes them.

Pages import this: no PyTorch here.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atelier import files, paths
from atelier.paths import CHECKPOINTS
from atelier.runs.folder import Run, RunError
from atelier.studies import STUDIES
from atelier.studies.study import SKIPPED, Study
from atelier.zoo import MODELS

SHIPPED = CHECKPOINTS / "studies"
SOURCES = {"shipped": "Shipped", "local": "Measured on this computer"}  # of results, and what the pages call them
SHARES = ("accuracy", "macro_f1", "calibration_error", "reading_accuracy")  # columns, 0 to 1
ALIKE = ("device_name", "versions", "data")  # of headers whose rows can stand in one table


class ResultError(ValueError):
    """Results that are not there or cannot be read; the message says why, in one sentence."""


@dataclass(frozen=True)
class Result:
    """What a study has measured."""

    table: pd.DataFrame  # one row a measured thing, never empty; what was not measured is NaN, or "" in words
    header: dict[str, Any]  # see `conduct.header`
    predictions: dict[str, np.ndarray]  # of the leaderboard, see there; empty if they are not there


def shipped(name: str) -> Result:
    """The results of a study that come with the project.

    Raises:
        ResultError: if they are missing or damaged.
    """
    title = _title(name)
    if not (SHIPPED / f"{name}.csv").is_file():
        raise ResultError(
            f"This copy of the project has no results of “{title}”; `python -m atelier study {name}` measures them."
        )
    return read(SHIPPED, name)


def local(name: str) -> Result:
    """The newest results of all points of a study on this machine, and if there are none, the newest of the first ones
    so far; of the leaderboard, the newest of each network, see `merged`.

    Raises:
        ResultError: if there are none, or they are damaged.
    """
    found, problem = [], ResultError(f"“{_title(name)}” has not been measured on this machine yet.")
    for run in local_runs(name, paths.RUNS):
        if run.path(f"{name}.json").is_file():  # which is written last
            try:
                found.append(read(run.folder, name))
            except ResultError as error:  # an older one may be whole
                problem = error
            else:
                if name != "leaderboard" and found[-1].header.get("finished", True):
                    return found[-1]
    if not found:
        raise problem
    return merged(found) if name == "leaderboard" and len(found) > 1 else found[0]


def merged(found: list[Result]) -> Result:
    """Leaderboards as one, with the newest row of each network. Left out are those of another device or other versions
    than the newest, and what an older one says of a run that was deleted since.

    Args:
        found: the newest first, at least one.
    """
    newest = found[0].header
    alike = [one for one in found if all(one.header.get(key) == newest.get(key) for key in ALIKE)]
    table = pd.concat([one.table for one in alike]).drop_duplicates("network")
    stays = {*MODELS, *found[0].table.network, *(run.id for run in Run.all(paths.RUNS))}
    table = table[table.network.isin(stays)].reset_index(drop=True)
    predictions, weights = {}, {}
    for one in reversed(alike):
        predictions |= one.predictions
        weights |= one.header.get("weights", {})
    header = newest | {
        "weights": {network: weights[network] for network in table.network if network in weights},
        "commit": ", ".join(dict.fromkeys(str(one.header.get("commit", "")) for one in alike)),
        "command": command("leaderboard", False, str(newest.get("device", "auto")), [*map(str, table.network)]),
    }
    header |= dict.fromkeys(("rows", "points", "of"), len(table)) | {"finished": True}
    return Result(table, header, predictions)


def command(study: str, quick: bool, device: str, networks: Sequence[str] = ()) -> str:
    """What to type to measure a study again, on the same device."""
    only = ["--networks", *networks] if networks else []
    return " ".join(["python -m atelier study", study, *["--quick"] * quick, "--device", device, *only])


def local_runs(name: str, folder: Path) -> list[Run]:
    """The runs of a study in a folder of runs, newest first, with results or without."""
    return [run for run in Run.all(studies_in(folder)) if _study_of(run) == name]


def studies_in(folder: Path) -> Path:
    """Where a folder of runs keeps those of studies."""
    return Path(folder) / "studies"


def read(folder: Path, name: str) -> Result:
    """The results in a folder.

    Raises:
        ResultError: if they are missing or damaged.
    """
    title = _title(name)
    try:
        header = json.loads((folder / f"{name}.json").read_text("utf-8"))  # first: since then the table can only grow
        text = (folder / f"{name}.csv").read_text("utf-8")
        table = _table(text, header.get("columns", {}), header.get("rows", 0))
        kinds = {"weights": dict, "versions": dict, "seeds": list}
        if header["study"] != name or not all(isinstance(header.get(key, kind()), kind) for key, kind in kinds.items()):
            raise ValueError("another study's")
    except FileNotFoundError as error:
        raise ResultError(f"The results of “{title}” lack the file {Path(error.filename).name}.") from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise ResultError(f"The results of “{title}” are damaged or only half written: measure them again.") from None
    if table.empty:
        raise ResultError(f"The results of “{title}” are empty: nothing has been measured yet.")
    if lacking := [column for column in STUDIES[name].columns if column not in table]:
        raise ResultError(f"The results of “{title}” lack {', '.join(lacking)}: measure them again.")
    try:
        check(table, STUDIES[name])
        STUDIES[name].findings(table)
    except Exception:  # whatever else a file may hold: a network that nobody knows, no number where one must be
        raise ResultError(f"The results of “{title}” hold what this version cannot read: measure them again.") from None
    return Result(table, header, files.read_npz(folder / f"{name}.npz"))


def check(table: pd.DataFrame, study: Study) -> None:
    """What the numbers of a study's table must be, so that its findings and figures can be had.

    Raises:
        ValueError: if they are not.
    """
    if not table.get("model", table["network"]).isin(MODELS).all():
        raise ValueError("an unknown network")
    if table.duplicated(list(study.points(False)[0])).any():
        raise ValueError("a point twice")
    here = table[~table["note"].str.startswith(SKIPPED)] if "note" in table else table
    numbers = here.select_dtypes("number")
    if numbers.drop(columns=list(study.unknown), errors="ignore").isna().any(axis=None):
        raise ValueError("no number where one must be")
    if np.isinf(numbers).any(axis=None):
        raise ValueError("an infinite number")
    shares = numbers[[column for column in SHARES if column in numbers]]
    if ((shares < 0) | (shares > 1)).any(axis=None):
        raise ValueError("no share")


def outdated(header: dict[str, Any]) -> list[str]:
    """The networks, people's own runs among them, that have other weights now than when they were measured. What a
    deleted run had cannot be told."""
    measured = header.get("weights", {})
    now = fingerprints(header["study"], list(measured)) if measured else {}
    return [name for name in measured if (name in MODELS or name in now) and measured[name] != now.get(name)]


def fingerprints(study: str, networks: list[str]) -> dict[str, str]:
    """Names for the weights that a study builds on: sixteen hexadecimal digits by network, the SHA-256 of its file.

    Args:
        networks: names in MODELS, or ids of runs.
    """
    files = {name: _weights(name, STUDIES[study].trains) for name in networks}
    return {name: _sha256(file)[:16] for name, file in files.items() if file.is_file()}


def _weights(network: str, backbone: bool) -> Path:
    """What a study measures; where it trains networks of its own, what these build on, which not every network has."""
    if network not in MODELS:
        return paths.RUNS / network / "best.safetensors"
    return MODELS[network].backbone if backbone else MODELS[network].checkpoint


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _title(name: str) -> str:
    if name not in STUDIES:
        raise ResultError(f"There is no study {name!r}; the studies are {', '.join(STUDIES)}.")
    return STUDIES[name].title


def _table(text: str, columns: dict[str, str], rows: int) -> pd.DataFrame:
    """The table of a CSV that must hold these columns, of "number" or "text", and at least so many rows.

    Raises:
        ValueError: if it does not.
    """
    if not text.strip():
        return pd.DataFrame()
    words = {column: str for column, kind in columns.items() if kind == "text"}
    # Only an empty cell is empty: a backbone called "none" is no missing number.
    table = pd.read_csv(StringIO(text), dtype=words, keep_default_na=False, na_values=[""])
    wordy = {column for column in table if not pd.api.types.is_numeric_dtype(table[column])}
    # A torn file breaks off within a line, or before its last one.
    if not text.endswith("\n") or len(table) < rows:
        raise ValueError("cut off")
    if columns and len(table) and (list(table) != list(columns) or wordy != words.keys()):
        raise ValueError("other columns")
    return table.fillna(dict.fromkeys(wordy, ""))


def _study_of(run: Run) -> str:
    try:
        return str(run.read("config.json").get("study", ""))
    except (RunError, OSError):
        return ""
