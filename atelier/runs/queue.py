"""One run at a time on a device, first come first served, among all processes of this user on this machine.

Each process that wants to train draws a ticket: a file named by the time, locked as long as the process lives. The
oldest ticket is next. The operating system's locks (`flock`) end with their process, however that ends. A ticket
without a lock is deleted, unless it was drawn a moment ago for a process that is still starting.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

POLL = 0.2  # seconds
HEAD_START = 15.0  # seconds for a process to start
STARTING = "starting"  # in a ticket that was drawn for another process


@contextlib.contextmanager
def acquire_device(
    device: str, waiting: Callable[[int], None] = lambda ahead: None, ticket: str | None = None
) -> Iterator[None]:
    """Hold a device, after all processes that came before.

    Args:
        device: "cpu", "cuda" or "mps".
        waiting: called every POLL seconds with the number of runs ahead; an exception ends the waiting.
        ticket: the name of a ticket drawn for this process; None to draw one now.
    """
    mine = _folder(device) / (ticket or draw_ticket(device))
    try:
        with FileLock(mine):
            mine.write_text("")
            while ahead := _ahead_of(mine):
                waiting(ahead)
                time.sleep(POLL)
            with _device_lock(mine.with_name("device.lock"), waiting):
                yield
    finally:
        mine.unlink(missing_ok=True)


def draw_ticket(device: str) -> str:
    """Draw a ticket for a process that is about to start; returns its name."""
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}.ticket"
    (_folder(device) / name).write_text(STARTING)
    return name


def _folder(device: str) -> Path:
    folder = user_cache_path("deep-learning-atelier") / "queue" / device
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _device_lock(file: Path, waiting: Callable[[int], None]) -> Iterator[None]:
    """Hold the device's own lock, because an older ticket may appear late."""
    lock = FileLock(file)
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            waiting(1)
            time.sleep(POLL)
    try:
        yield
    finally:
        lock.release()


def _ahead_of(ticket: Path) -> int:
    """Number of older tickets whose process lives."""
    return sum(_lives(other) for other in ticket.parent.glob("*.ticket") if other.name < ticket.name)


def _lives(ticket: Path) -> bool:
    """Whether a process holds this ticket or is starting; a dead ticket is deleted."""
    with contextlib.suppress(FileNotFoundError):
        if ticket.read_text() == STARTING and time.time() - ticket.stat().st_mtime < HEAD_START:
            return True
        try:
            with FileLock(ticket, timeout=0):
                ticket.unlink(missing_ok=True)
        except Timeout:
            return True
    return False
