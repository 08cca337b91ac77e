"""Conducts a study: measures point after point and keeps each, so that nothing measured is ever lost.

A study is a run like a training: it waits for its turn on the device, can be paused, stopped, killed and resumed, and
its folder in `runs/studies` says how it stands.

    runs/studies/<id>/config.json     which study, which points, on what device, with whose weights
                      points.jsonl    one measured point a line, appended
                      <name>.csv, .json and .npz, see `results.py`; renamed into place after each point
"""

import contextlib
import io
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from atelier import files, paths
from atelier.data import mnist
from atelier.recipe import Recipe
from atelier.runs import jobs
from atelier.runs.folder import LOG, UNFINISHED, Run, RunError
from atelier.runs.queue import draw_ticket
from atelier.runs.worker import check_request
from atelier.studies import STUDIES
from atelier.studies.results import command, fingerprints, local_runs, studies_in
from atelier.studies.study import SKIPPED, Point, Row, Value
from atelier.zoo import MODELS

POINTS = "points.jsonl"
DIGITS = 6  # that numbers are rounded to


@dataclass(frozen=True)
class Progress:
    """How far a study is."""

    done: int  # points
    of: int
    point: Point | None  # the one that is being measured; None when one has just been finished


# For whoever starts and steers studies -------------------------------------------------------------------------------


def new_config(name: str, quick: bool, device: str, networks: Sequence[str] = ()) -> dict[str, Any]:
    """What `config.json` of a study says. Studies with the same config are the same.

    Args:
        name: in STUDIES.
        quick: fewer points.
        device: "auto", "cpu", "cuda" or "mps".
        networks: names in MODELS, and for the leaderboard also ids of runs; none for all that the study has.

    Raises:
        RunError: if there is no such study, network or run, or nothing is left to measure.
        ValueError: if this machine does not have the device.
    """
    points = chosen_points(name, quick, networks)
    now = environment_of(device)
    measured = list(dict.fromkeys(str(point["network"]) for point in points))
    return {
        "study": name,
        "model": name,  # of which `Run.create` makes the folder's name
        "quick": quick,
        "networks": list(networks),
        "device": now["device"],
        "points": points,
        "weights": fingerprints(name, measured),
        "data": mnist.fingerprint(),
        "versions": now["versions"],
    }


def environment_of(device: str) -> dict[str, Any]:
    """The `device` that a name stands for, its `device_name` and the `versions` of what computes.

    Raises:
        ValueError: if this machine does not have the device.
    """
    from atelier.training.setup import describe_environment  # imports PyTorch

    return describe_environment(Recipe(epochs=1), device)


def chosen_points(name: str, quick: bool, networks: Sequence[str]) -> list[Point]:
    """The points of a study that belong to these networks, or all; arguments and errors as `new_config`."""
    if name not in STUDIES:
        raise RunError(f"There is no study {name!r}; the studies are {', '.join(STUDIES)}.")
    points = STUDIES[name].points(quick)
    if not networks:
        return points
    own = [network for network in dict.fromkeys(networks) if network not in MODELS]
    for run in own:
        if name != "leaderboard":
            raise RunError(f"There is no network {run!r}; the networks are {', '.join(MODELS)}.")
        if not Run.open(paths.RUNS, run).path("best.safetensors").is_file():
            raise RunError(f"Run {run} has no weights to measure.")
    points = [point for point in points if point["network"] in networks] + [{"network": run} for run in own]
    if not points:
        raise RunError(f"“{STUDIES[name].title}” measures none of {', '.join(networks)}.")
    return points


def prepare(config: dict[str, Any], folder: Path) -> Run:
    """The run in which a study is to be conducted: the newest unfinished one with this config, or a new one.

    Args:
        folder: of runs.
    """
    for run in local_runs(config["study"], folder):
        if run.read("config.json") == config and run.status()[0] in UNFINISHED and not run.is_locked():
            jobs.queue_up(run)
            return run
    return Run.create(studies_in(folder), config)


def reopen(id: str, folder: Path, names: Sequence[str] = (), is_queued: bool = False) -> Run:
    """The study to resume, waiting for its turn.

    Args:
        folder: of runs.
        names: if there are any, it must be one of these.
        is_queued: whether it was given its place already.

    Raises:
        RunError: if there is none of that id, it is damaged, or it is another study.
    """
    run = Run.open(studies_in(folder), id)
    config = run.read("config.json")
    if not config.keys() >= {"points", "quick", "device", "networks"} or config.get("study") not in STUDIES:
        raise RunError("The study's config.json is damaged; start a new one.")
    if names and config["study"] not in names:
        raise RunError(f"Run {id} is the study {config['study']}, not {' or '.join(names)}.")
    if not is_queued and not run.is_locked():
        jobs.queue_up(run)
    return run


def start(name: str, quick: bool = False, device: str = "auto", networks: Sequence[str] = ()) -> Run:
    """Conduct a study in the background, see `new_config`. If somebody already does, that run is theirs and yours."""
    config = new_config(name, quick, device, networks)
    studies = studies_in(paths.RUNS)
    studies.mkdir(parents=True, exist_ok=True)
    with FileLock(studies / "lock"):  # of two people who start it at once, one does
        for run in local_runs(name, paths.RUNS):
            if run.read("config.json") == config and run.status()[0] in ("queued", "running"):
                return run
        run = prepare(config, paths.RUNS)
        _launch(run)
    return run


def resume(run: Run) -> None:
    """Go on in the background with the points that are left.

    Raises:
        RunError: if there is nothing to resume.
    """
    jobs.queue_again(run)
    _launch(run)


def progress(run: Run) -> tuple[int, int, str, str]:
    """How many points are measured, of how many; the run's state and the reason, see `Run.status`."""
    state, reason = run.status()
    if state == "interrupted":
        reason = "It stopped before its end; it can go on from there."
    try:
        points = run.read("config.json")["points"]
        lines = read_lines(run)
        done = len(by_number(lines, points, lines[-1]["device_name"])) if lines else 0
    except (RunError, KeyError, ValueError):
        return 0, 0, "failed", "The study's folder is damaged; start a new one."
    return done, len(points), state, reason


def _launch(run: Run) -> None:
    config, folder = run.read("config.json"), str(run.folder.parent.parent.resolve())
    arguments = ["study", config["study"], "--resume", run.id, "--runs", folder]
    jobs.in_background([*arguments, "--in-background", draw_ticket(config["device"])], run.path(LOG))


# For the process that measures ---------------------------------------------------------------------------------------


def conduct(run: Run) -> Iterator[Progress]:
    """Measure the points that are left, and try those again that had to be skipped. After each, the results so far lie
    in the run's folder.

    Raises:
        RunError: if what the study measures is no longer what it was.
        StopRequested: if a person has asked the run to pause or to stop.
        OSError: if the disk is full.
    """
    import torch

    config = run.read("config.json")
    study, points = STUDIES[config["study"]], config["points"]
    now = new_config(study.name, config["quick"], config["device"], config["networks"])
    if changed := [name for name in now if now[name] != config.get(name)]:
        raise RunError(f"Since this study began, its {' and '.join(changed)} changed: start a new one.")
    here, version = environment_of(config["device"])["device_name"], commit()
    measured = by_number(read_lines(run), points, here)
    if measured:
        write_results(run, config, measured)  # in case that it was killed just before
    for number, point in enumerate(points):
        if number in measured and not was_skipped(measured[number]):
            continue
        yield Progress(len(measured), len(points), point)
        torch.manual_seed(0)  # whatever was measured before, now or before a resume, makes no difference
        clock, rows = time.perf_counter(), []
        for row in study.measure(point, config["device"]):
            if row is not None:
                rows.append(point | row)
            yield Progress(len(measured), len(points), point)
            check_request(run)
        keep_arrays(run.path(f"{study.name}.npz"), rows)
        measured[number] = {
            "point": point,
            "rows": [rounded(row) for row in rows],
            "seconds": round(time.perf_counter() - clock, 2),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device_name": here,
            "commit": version,
        }
        files.append_json_line(run.path(POINTS), measured[number])
        write_results(run, config, measured)
        yield Progress(len(measured), len(points), None)


@cache  # as it was when the process began to measure: results that it copies into the project do not count
def commit() -> str:
    """Which version of this project measures; "" if git does not know."""
    ask = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    with contextlib.suppress(OSError):
        return subprocess.run(ask, cwd=paths.ROOT, capture_output=True, text=True).stdout.strip()
    return ""


# Points that are measured --------------------------------------------------------------------------------------------


def read_lines(run: Run) -> list[dict[str, Any]]:
    """What was measured, in the order of time; torn lines are left out."""
    lines = files.read_json_lines(run.path(POINTS))
    return [line for line in lines if isinstance(line, dict) and line.keys() >= {"point", "rows", "device_name"}]


def by_number(lines: list[dict[str, Any]], points: list[Point], here: str) -> dict[int, dict[str, Any]]:
    """The lines by the number of their point. All results of a study come from one device: others are left out."""
    fitting = [line for line in lines if line["point"] in points and line["device_name"] == here]
    return {points.index(line["point"]): line for line in fitting}


def was_skipped(line: dict[str, Any]) -> bool:
    """Whether something was not at hand that the point needs."""
    return any(str(row.get("note", "")).startswith(SKIPPED) for row in line["rows"])


def rounded(row: Row) -> dict[str, Value]:
    """Numbers to DIGITS significant digits, arrays left out."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
    return {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in plain.items()
        if not isinstance(value, np.ndarray)
    }


# Results, see `results.py` -------------------------------------------------------------------------------------------


def keep_arrays(file: Path, rows: list[Row]) -> None:
    """Add the arrays of these rows to a file, each under the name `<network>_<column>`."""
    arrays = {
        f"{r['network']}_{name}": value for r in rows for name, value in r.items() if isinstance(value, np.ndarray)
    }
    if arrays:
        content = io.BytesIO()
        np.savez_compressed(content, **(files.read_npz(file) | arrays))
        files.write(file, content.getvalue())


def write_results(run: Run, config: dict[str, Any], measured: dict[int, dict[str, Any]]) -> None:
    """Write the table and then its header, from the points so far."""
    lines = [measured[number] for number in sorted(measured)]
    table = pd.DataFrame([row for line in lines for row in line["rows"]])
    name = config["study"]
    files.write(run.path(f"{name}.csv"), table.to_csv(index=False).encode())
    run.write(f"{name}.json", header(config, lines, table))


def header(config: dict[str, Any], lines: list[dict[str, Any]], table: pd.DataFrame) -> dict[str, Any]:
    """What a table's JSON file says: what was measured, when, where, and by which command."""
    points, latest = config["points"], max(lines, key=lambda line: line["date"])
    numbers = table.select_dtypes(["number", "bool"])
    return {
        "study": config["study"],
        "title": STUDIES[config["study"]].title,
        "quick": config["quick"],
        "date": latest["date"],
        "device": config["device"],
        "device_name": latest["device_name"],
        "seeds": sorted({point.get("seed", 0) for point in points}),  # 0: what else is drawn has a fixed seed, too
        "versions": config["versions"],
        "commit": ", ".join(dict.fromkeys(line["commit"] for line in lines)),
        "weights": config["weights"],
        "data": config["data"],
        "command": command(config["study"], config["quick"], config["device"], config["networks"]),
        "seconds": round(sum(line["seconds"] for line in lines), 2),
        "points": len(lines),
        "of": len(points),
        "finished": len(lines) == len(points),
        "rows": len(table),
        "columns": {column: "number" if column in numbers else "text" for column in table},
    }


def publish(run: Run, into: Path) -> None:
    """Copy a study's results into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    name = run.read("config.json")["study"]
    for kind in ("npz", "csv", "json"):
        if (file := run.path(f"{name}.{kind}")).is_file():
            files.write(into / file.name, file.read_bytes())
