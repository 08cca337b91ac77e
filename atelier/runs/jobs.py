"""Runs in processes of their own: they continue when the process that started them ends.

Pages start and steer runs here; `worker.py` is the other side, the run's process.
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

not_for_workers: set[str] = set()  # environment variables of this process alone


def start(
    model: str, recipe: Recipe, network: dict[str, Any] | None = None, device: str = "auto", runs: Path = RUNS
) -> Run:
    """Start a run in the background; it waits until the device is free.

    Raises:
        ValueError: if it cannot work, with the reason.
        OSError: if its folder cannot be made.
    """
    from atelier.training.setup import new_config

    run = Run.create(runs, new_config(model, recipe, device, network))
    _launch(run, model)
    return run


def resume(run: Run) -> None:
    """Continue from the last checkpoint; a run without one starts from the beginning.

    Raises:
        RunError: if there is nothing to resume.
    """
    config = run.read("config.json")
    read_recipe(config)  # a damaged config is refused here, not in the background
    queue_again(run)
    _launch(run, config["model"])


def queue_again(run: Run) -> None:
    """Queue an unfinished run again.

    Raises:
        RunError: if it is finished or active.
    """
    state, _ = run.status()
    if state not in UNFINISHED or run.is_locked():
        raise RunError(f"Run {run.name} is {state}: there is nothing to resume.")
    queue_up(run)


def queue_up(run: Run) -> None:
    """Queue a run; earlier requests no longer count."""
    run.clear_request()
    run.set_status("queued")


def request(run: Run, what: str) -> None:
    """Ask a run to "pause" or to "stop"; it does so after its current step.

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
    """Measure in the background how fast this machine trains, for `bench.estimate`."""
    in_background(["bench", "throughput", "--device", device])


def _launch(run: Run, model: str) -> None:
    runs, ticket = str(run.folder.parent.resolve()), draw_ticket(run.read("config.json")["device"])
    in_background(["train", model, "--resume", run.id, "--runs", runs, "--in-background", ticket], run.path(LOG))


def in_background(arguments: list[str], log: Path = Path(os.devnull)) -> None:
    """Run a command of `python -m atelier` in a process that outlives this one."""
    # Waiting threads sleep: beside pages and browsers, a network then trains up to twice as fast.
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
            start_new_session=True,  # signals to this process do not reach that one
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie stays when it has ended
