"""What the process that trains a run does beside training: it takes turns, obeys, and leaves a reason when it ends.

Whoever starts and steers runs, such as a page, is on the other side, in `jobs.py`; both meet in the run's folder.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from atelier.runs.folder import LOG, REQUESTS, Run
from atelier.runs.queue import acquire_device

NICENESS = 10  # of background processes

E = TypeVar("E")


class StopRequested(Exception):  # noqa: N818 -- nothing went wrong
    """A person wants the run to pause or to stop."""

    def __init__(self, request: str):
        self.request = request


def lower_priority() -> None:
    """Let other processes go first: drawing still answers while a network trains."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):  # Linux shares time between sessions first, if it lets us say so
        Path("/proc/self/autogroup").write_text(str(NICENESS))


def supervise(run: Run, device: str, events: Callable[[], Iterator[E]], ticket: str | None = None) -> Iterator[E]:
    """The events of a training, while its run is locked, has the device, and says in its status how it goes.

    Args:
        run: its folder.
        device: "cpu", "cuda" or "mps".
        events: called once it is this run's turn.
        ticket: that was drawn for it, see `queue.py`.

    Raises:
        RunError: if another process trains this run.
        StopRequested: if a person has asked the run to pause or to stop; its status says so.
        Exception: any other, after the reason has been written to the run's status.
    """
    with run.lock():
        try:
            with acquire_device(device, lambda ahead: _wait(run, ahead), ticket):
                check_request(run)
                run.set_status("running")
                yield from events()
            run.clear_request()
            run.set_status("done")
        except StopRequested as stop:
            run.clear_request()
            run.set_status(REQUESTS[stop.request])
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
    check_request(run)


def check_request(run: Run) -> None:
    """Leave if a person has asked for it.

    Raises:
        StopRequested: then.
    """
    if (request := requested(run)) in REQUESTS:
        raise StopRequested(request)


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
