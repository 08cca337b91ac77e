"""Runs in processes of their own: whoever starts one may go, and the run goes on.

This is for whoever starts and steers runs, such as a page. What the process does that trains one is in `worker.py`.
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from atelier.paths import ROOT, RUNS
from atelier.recipe import Recipe
from atelier.runs.folder import LOG, UNFINISHED, Run, RunError, read_recipe
from atelier.runs.queue import draw_ticket

not_for_workers: set[str] = set()  # names in the environment that are meant for this process alone


def start(
    model: str, recipe: Recipe, network: dict[str, Any] | None = None, device: str = "auto", runs: Path = RUNS
) -> Run:
    """Start a run in the background. It waits for its turn on the device.

    Raises:
        ValueError: if it cannot work; the message says why.
        OSError: if its folder cannot be made.
    """
    from atelier.training.setup import new_config

    run = Run.create(runs, new_config(model, recipe, device, network))
    _launch(run, model)
    return run


def resume(run: Run) -> None:
    """Go on from the last checkpoint; a run that never made one starts from the beginning.

    Raises:
        RunError: if there is nothing to resume.
    """
    config = run.read("config.json")
    read_recipe(config)  # is refused here, not in the background
    queue_again(run)
    _launch(run, config["model"])


def queue_again(run: Run) -> None:
    """Let a run that has not finished wait for its turn once more.

    Raises:
        RunError: if it has finished, or is at it.
    """
    state, _ = run.status()
    if state not in UNFINISHED or run.is_locked():
        raise RunError(f"Run {run.name} is {state}: there is nothing to resume.")
    queue_up(run)


def queue_up(run: Run) -> None:
    """From now on the run waits for its turn, whatever was asked of it before."""
    run.clear_request()
    run.set_status("queued")


def request(run: Run, what: str) -> None:
    """Ask a run to "pause" or to "stop". It obeys after the step it is in.

    Raises:
        RunError: if it has ended.
    """
    state, _ = run.status()
    if state not in ("queued", "running"):
        raise RunError(f"Run {run.name} is {state}: there is nothing to {what}.")
    run.request(what)


def delete(run: Run) -> None:
    """Delete a run's folder.

    Raises:
        RunError: if it is being trained.
    """
    if run.is_locked():
        raise RunError(f"Run {run.name} is still being trained. Stop it first.")
    shutil.rmtree(run.folder)


def measure(device: str) -> None:
    """Measure in the background how fast this machine trains, for `evaluation.estimate`."""
    in_background(["bench", "throughput", "--device", device])


def _launch(run: Run, model: str) -> None:
    runs, ticket = str(run.folder.parent.resolve()), draw_ticket(run.read("config.json")["device"])
    in_background(["train", model, "--resume", run.id, "--runs", runs, "--in-background", ticket], run.path(LOG))


def in_background(arguments: list[str], log: Path = Path(os.devnull)) -> None:
    """Give a command of `python -m atelier` a process of its own, which goes on without this one."""
    # Threads that wait for each other sleep: beside pages and browsers, which want the cores too, a network then learns
    # up to twice as fast as when they wait busily.
    environment = {"OMP_WAIT_POLICY": "passive"}
    environment |= {name: value for name, value in os.environ.items() if name not in not_for_workers}
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "atelier", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # what ends this process does not end that one
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that nothing is left of it when it has ended
