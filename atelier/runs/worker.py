"""The process of a run: it waits for the device, follows requests, and writes a reason when it ends.

`jobs.py` is the other side, which starts runs and sends requests; both meet in the run's folder.
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
    with contextlib.suppress(OSError):  # Linux shares time between sessions first
        Path("/proc/self/autogroup").write_text(str(NICENESS))


def supervise(run: Run, device: str, events: Callable[[], Iterator[E]], ticket: str | None = None) -> Iterator[E]:
    """The events of a training, while its run is locked and holds the device; its status follows.

    Args:
        run: its folder.
        device: "cpu", "cuda" or "mps".
        events: called when the device is free for this run.
        ticket: its place in the queue, see `queue.py`; None to queue now.

    Raises:
        RunError: if another process trains this run.
        StopRequested: if a person wants the run to pause or to stop.
        Exception: any other, after its reason is in the run's status.
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
            run.set_status("interrupted", "Stopped before its end. It can be resumed.")
            raise
        except Exception as error:
            with contextlib.suppress(OSError):  # of a deleted folder; the log has the reason
                run.set_status("failed", _reason(error))
            raise


def _wait(run: Run, ahead: int) -> None:
    waits = ("queued", f"Waits for {ahead} other run{'s' if ahead > 1 else ''} on this device.")
    if run.status() != waits:
        run.set_status(*waits)
    check_request(run)


def check_request(run: Run) -> None:
    """Stop here if a person wants it.

    Raises:
        StopRequested: in that case.
    """
    if (request := requested(run)) in REQUESTS:
        raise StopRequested(request)


def requested(run: Run) -> str:
    """A person's request to the run, or "".

    Raises:
        RunError: if its folder has been deleted.
    """
    run.check_exists()
    return run.requested()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The run's folder could not be written: {error.strerror or error}. Make room, then resume."
    if isinstance(error, (ValueError, RuntimeError, MemoryError)):
        return str(error)
    return (
        f"An unexpected error stopped the run ({type(error).__name__}: {error}). {LOG} in its folder has the details."
    )
