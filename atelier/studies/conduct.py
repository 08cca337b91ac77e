"""Conduct a study: measure its points one by one and store each, so that no measurement is lost.

A study is a run like a training: it waits for its turn on the device, can be paused, stopped, killed and resumed, and
its folder in `runs/studies` holds its state.

    runs/studies/<id>/config.json     study, points, device and fingerprints of weights
                      points.jsonl    one measured point per line, appended
                      <name>.csv, .json and .npz, see `results.py`; replaced after each point
"""

import contextlib
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
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
from atelier.studies.results import Provenance, command, fingerprints, local_runs, studies_in
from atelier.studies.study import Point, Row, Value
from atelier.zoo import MODELS

POINTS = "points.jsonl"
DIGITS = 6  # significant digits of stored numbers


@dataclass(frozen=True)
class Progress:
    """The progress of a study."""

    done: int  # points
    of: int
    point: Point | None  # now measured; None when one has just been finished


# Start and control studies -------------------------------------------------------------------------------------------


def new_config(name: str, quick: bool, device: str, networks: Sequence[str] = ()) -> dict[str, Any]:
    """The `config.json` of a study. Studies with the same config are the same.

    Args:
        name: in STUDIES.
        quick: fewer points.
        device: "auto", "cpu", "cuda" or "mps".
        networks: names in MODELS, and for the leaderboard also ids of runs; none for all networks of the study.

    Raises:
        RunError: if there is no such study, network or run, or nothing to measure.
        ValueError: if this machine does not have the device.
    """
    points = chosen_points(name, quick, networks)
    now = environment_of(device)
    return {
        "study": name,
        "model": name,  # `Run.create` names the folder after it
        "quick": quick,
        "networks": list(networks),
        "device": now["device"],
        "points": points,
        "weights": fingerprints(name, [str(point["network"]) for point in points]),
        "data": mnist.fingerprint(),
        "versions": now["versions"],
    }


def environment_of(device: str) -> dict[str, Any]:
    """The `device`, its `device_name` and the `versions` of the libraries.

    Raises:
        ValueError: if this machine does not have the device.
    """
    from atelier.training.setup import describe_environment  # imports PyTorch

    return describe_environment(Recipe(epochs=1), device)


def chosen_points(name: str, quick: bool, networks: Sequence[str]) -> list[Point]:
    """The points of a study for these networks, or for all that have weights; arguments and errors as `new_config`."""
    if name not in STUDIES:
        raise RunError(f"There is no study {name!r}. The studies are {', '.join(STUDIES)}.")
    study, points = STUDIES[name], STUDIES[name].points(quick)
    own = [network for network in dict.fromkeys(networks) if network not in MODELS]
    for run in own:
        if name != "leaderboard":
            raise RunError(f"There is no network {run!r}. The networks are {', '.join(MODELS)}.")
        if not Run.open(paths.RUNS, run).path("best.safetensors").is_file():
            raise RunError(f"Run {run} has no weights to measure.")
    if networks:
        points = [point for point in points if point["network"] in networks] + [{"network": run} for run in own]
    elif not study.trains:
        points = [point for point in points if MODELS[point["network"]].checkpoint.is_file()]
    if not points:
        raise RunError(f"“{study.title}” cannot measure {', '.join(networks) or 'any network: no weights are here'}.")
    return points


def prepare(config: dict[str, Any], folder: Path) -> Run:
    """The run for a study in this folder of runs, queued: the newest unfinished one with this config, or a new one."""
    for run in runs_with(config, folder, UNFINISHED):
        if not run.is_locked():
            jobs.queue_up(run)
            return run
    return Run.create(studies_in(folder), config)


def runs_with(config: dict[str, Any], folder: Path, states: Collection[str]) -> Iterator[Run]:
    """The runs of a study with this config and in one of these states, newest first."""
    for run in local_runs(config["study"], folder):
        if run.read("config.json") == config and run.status()[0] in states:
            yield run


def reopen(id: str, folder: Path, names: Sequence[str] = (), is_queued: bool = False) -> Run:
    """The run of a study to resume, queued.

    Args:
        id: of the run.
        folder: of runs.
        names: the only studies allowed; empty: any.
        is_queued: whether it already has its place in the queue.

    Raises:
        RunError: if there is no such run, it is damaged, or it belongs to another study.
    """
    run = Run.open(studies_in(folder), id)
    config = run.read("config.json")
    if not config.keys() >= {"points", "quick", "device", "networks"} or config.get("study") not in STUDIES:
        raise RunError("The study's config.json is damaged. Start a new study.")
    if names and config["study"] not in names:
        raise RunError(f"Run {id} belongs to the study {config['study']}, not to {' or '.join(names)}.")
    if not is_queued and not run.is_locked():
        jobs.queue_up(run)
    return run


def start(name: str, quick: bool = False, device: str = "auto", networks: Sequence[str] = ()) -> Run:
    """Conduct a study in the background, or return the run that already does; arguments and errors as `new_config`."""
    config = new_config(name, quick, device, networks)
    studies = studies_in(paths.RUNS)
    studies.mkdir(parents=True, exist_ok=True)
    with FileLock(studies / "lock"):  # two visitors may start it at the same time
        for run in runs_with(config, paths.RUNS, ("queued", "running")):
            return run
        run = prepare(config, paths.RUNS)
        _launch(run)
    return run


def resume(run: Run) -> None:
    """Measure the remaining points in the background.

    Raises:
        RunError: if there is nothing to resume.
    """
    jobs.queue_again(run)
    _launch(run)


def progress(run: Run) -> tuple[int, int, str, str]:
    """The number of measured points and of all points, and the run's state and reason, see `Run.status`."""
    state, reason = run.status()
    if state == "interrupted":
        reason = "The process stopped too early. Resume it to continue."
    try:
        points = run.read("config.json")["points"]
        lines = read_lines(run)
        done = len(by_number(lines, points, lines[-1]["device_name"])) if lines else 0
    except (RunError, KeyError, ValueError):
        return 0, 0, "failed", "The study's folder is damaged. Start a new study."
    return done, len(points), state, reason


def _launch(run: Run) -> None:
    config, folder = run.read("config.json"), str(run.folder.parent.parent.resolve())
    arguments = ["study", config["study"], "--resume", run.id, "--runs", folder]
    jobs.in_background([*arguments, "--in-background", draw_ticket(config["device"])], run.path(LOG))


# Measure -------------------------------------------------------------------------------------------------------------


def conduct(run: Run) -> Iterator[Progress]:
    """Measure the remaining points, and again those that could not be measured.

    After each point, the run's folder holds the results until then.

    Raises:
        RunError: if the points, weights, data or libraries have changed since the study began.
        StopRequested: if a person has paused or stopped the run.
        OSError: if the disk is full.
    """
    import torch

    config = run.read("config.json")
    study, points = STUDIES[config["study"]], config["points"]
    now = new_config(study.name, config["quick"], config["device"], config["networks"])
    if changed := [name for name in now if now[name] != config.get(name)]:
        raise RunError(f"Since this study began, its {' and '.join(changed)} changed. Start a new study.")
    here, version = environment_of(config["device"])["device_name"], commit()
    measured = by_number(read_lines(run), points, here)
    if measured:
        write_results(run, config, measured)  # the process may have been killed before it did this
    for number, point in enumerate(points):
        if number in measured and not any(row.get("note") for row in measured[number]["rows"]):
            continue
        yield Progress(len(measured), len(points), point)
        torch.manual_seed(0)  # a point does not depend on the points before it
        clock, rows = time.perf_counter(), []
        for row in study.measure(point, config["device"]):
            if row is not None:
                rows.append(point | row)
            yield Progress(len(measured), len(points), point)
            check_request(run)
        plain, arrays = split(rows)
        if arrays:
            file = run.path(f"{study.name}.npz")
            files.write_npz(file, files.read_npz(file) | arrays)
        measured[number] = {
            "point": point,
            "rows": plain,
            "seconds": round(time.perf_counter() - clock, 2),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device_name": here,
            "commit": version,
        }
        files.append_json_line(run.path(POINTS), measured[number])
        write_results(run, config, measured)
        yield Progress(len(measured), len(points), None)


@cache  # results that this process copies into the project later must not make it "dirty"
def commit() -> str:
    """The version of this project; "" if git does not know it."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    with contextlib.suppress(OSError):
        return subprocess.run(describe, cwd=paths.ROOT, capture_output=True, text=True).stdout.strip()
    return ""


# Measured points -----------------------------------------------------------------------------------------------------


def read_lines(run: Run) -> list[dict[str, Any]]:
    """The measured points, oldest first, without torn lines."""
    lines = files.read_json_lines(run.path(POINTS))
    return [line for line in lines if isinstance(line, dict) and line.keys() >= {"point", "rows", "device_name"}]


def by_number(lines: list[dict[str, Any]], points: list[Point], here: str) -> dict[int, dict[str, Any]]:
    """The lines by the number of their point, only those of this device: a table must not mix devices."""
    valid = [line for line in lines if line["point"] in points and line["device_name"] == here]
    return {points.index(line["point"]): line for line in valid}


def split(rows: list[Row]) -> tuple[list[dict[str, Value]], dict[str, np.ndarray]]:
    """The rows with DIGITS significant digits, and their arrays by `<network>_<column>`."""
    plain: list[dict[str, Value]] = [{} for _ in rows]
    arrays = {}
    for row, values in zip(rows, plain, strict=True):
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                arrays[f"{row['network']}_{name}"] = value
                continue
            value = value.item() if isinstance(value, np.generic) else value
            values[name] = float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
    return plain, arrays


# Results, see `results.py` -------------------------------------------------------------------------------------------


def write_results(run: Run, config: dict[str, Any], measured: dict[int, dict[str, Any]]) -> None:
    """Write the table of the measured points, and then its provenance."""
    lines = [measured[number] for number in sorted(measured)]
    table = pd.DataFrame([row for line in lines for row in line["rows"]])
    name, points, latest = config["study"], config["points"], max(lines, key=lambda line: line["date"])
    provenance = Provenance(
        **{key: config[key] for key in ("study", "quick", "device", "versions", "weights", "data")},
        date=latest["date"],
        device_name=latest["device_name"],
        seeds=sorted({point.get("seed", 0) for point in points}),  # 0: the fixed seed of all other random numbers
        commit=", ".join(dict.fromkeys(line["commit"] for line in lines)),
        command=command(name, config["quick"], config["device"], config["networks"]),
        seconds=round(sum(line["seconds"] for line in lines), 2),
        points=len(lines),
        of=len(points),
        finished=len(lines) == len(points),
        rows=len(table),
    )
    files.write(run.path(f"{name}.csv"), table.to_csv(index=False))
    run.write(f"{name}.json", asdict(provenance))


def publish(run: Run, into: Path) -> None:
    """Copy a study's results into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    name = run.read("config.json")["study"]
    for kind in ("npz", "csv", "json"):
        if (file := run.path(f"{name}.{kind}")).is_file():
            files.write(into / file.name, file.read_bytes())
