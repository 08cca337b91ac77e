"""Runs in processes of their own: whoever starts one may go, and the run goes on."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from atelier.training.queue import draw_ticket, turn
from atelier.training.recipe import Recipe
from atelier.training.runs import REQUESTS, RUNS, UNFINISHED, Run, RunError, read_recipe

ROOT = Path(__file__).parent.parent.parent
LOG = "worker.log"  # in the run's folder: what its process printed
POLITENESS = 10  # by how much a background process lets others go first

not_for_workers: set[str] = set()  # names in the environment that are meant for this process alone

E = TypeVar("E")


class Asked(Exception):  # noqa: N818 -- nothing went wrong
    """A person has asked the run to pause or to stop."""

    def __init__(self, request: str):
        self.request = request


# For whoever starts and steers runs ----------------------------------------------------------------------------------


def start(
    model: str, recipe: Recipe, network: dict[str, Any] | None = None, device: str = "auto", runs: Path = RUNS
) -> Run:
    """Start a run in the background. It waits for its turn on the device.

    Raises:
        ValueError: if it cannot work; the message says why.
        OSError: if its folder cannot be made.
    """
    from atelier.training.train import new_config

    run = Run.create(runs, new_config(model, recipe, device, network))
    _launch(run, model)
    return run


def resume(run: Run) -> None:
    """Go on from the last checkpoint; a run that never made one starts from the beginning.

    Raises:
        RunError: if there is nothing to resume.
    """
    state, _ = run.status()
    if state not in UNFINISHED or run.is_locked():
        raise RunError(f"Run {run.name} is {state}: there is nothing to resume.")
    config = run.read("config.json")
    read_recipe(config)  # is refused here, not in the background
    queue_up(run)
    _launch(run, config["model"])


def queue_up(run: Run) -> None:
    """From now on the run waits for its turn, whatever was asked of it before."""
    run.forget_request()
    run.set_status("queued")


def ask(run: Run, what: str) -> None:
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
    _in_background(["bench", "throughput", "--device", device])


def _launch(run: Run, model: str) -> None:
    runs, ticket = str(run.folder.parent.resolve()), draw_ticket(run.read("config.json")["device"])
    _in_background(["train", model, "--resume", run.id, "--runs", runs, "--in-background", ticket], run.path(LOG))


def _in_background(arguments: list[str], log: Path = Path(os.devnull)) -> None:
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


# For the process that trains -----------------------------------------------------------------------------------------


def be_polite() -> None:
    """Let other processes go first: drawing still answers while a network trains."""
    if hasattr(os, "nice"):
        os.nice(POLITENESS)
    with contextlib.suppress(OSError):  # Linux shares time between sessions first, if it lets us say so
        Path("/proc/self/autogroup").write_text(str(POLITENESS))


def attended(run: Run, device: str, events: Callable[[], Iterator[E]], ticket: str | None = None) -> Iterator[E]:
    """The events of a training, while its run is locked, has the device, and says in its status how it goes.

    Args:
        run: its folder.
        device: "cpu", "cuda" or "mps".
        events: called once it is this run's turn.
        ticket: that was drawn for it, see `queue.py`.

    Raises:
        RunError: if another process trains this run.
        Asked: if a person has asked the run to pause or to stop; its status says so.
        Exception: any other, after the reason has been written to the run's status.
    """
    with run.lock():
        try:
            with turn(device, lambda ahead: _wait(run, ahead), ticket):
                obey(run)
                run.set_status("running")
                yield from events()
            run.forget_request()
            run.set_status("done")
        except Asked as asked:
            run.forget_request()
            run.set_status(REQUESTS[asked.request])
            raise
        except (KeyboardInterrupt, GeneratorExit):
            run.set_status("interrupted", "Stopped before its end; it can be resumed.")
            raise
        except Exception as error:
            with contextlib.suppress(OSError):  # if somebody has deleted the folder, the reason goes to the log alone
                run.set_status("failed", _reason(error))
            raise


def _wait(run: Run, ahead: int) -> None:
    waits = ("queued", f"Waits for {ahead} other run{'s' if ahead > 1 else ''} on this device.")
    if run.status() != waits:
        run.set_status(*waits)
    obey(run)


def obey(run: Run) -> None:
    """Leave if a person has asked for it.

    Raises:
        Asked: then.
    """
    if (request := requested(run)) in REQUESTS:
        raise Asked(request)


def requested(run: Run) -> str:
    """What a person has asked of the run.

    Raises:
        RunError: if its folder has been deleted, so that nobody can want it any more.
    """
    run.check_exists()
    return run.requested()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The run's folder could not be written: {error.strerror or error}. Make room, then resume."
    if isinstance(error, (ValueError, RuntimeError, MemoryError)):
        return str(error)
    return f"Something unexpected happened ({type(error).__name__}: {error}); {LOG} in its folder says more."
