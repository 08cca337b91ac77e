"""One run at a time on a device, first come first served, among all processes of this user on this machine.

Each process that wants to train draws a ticket, a file named by the time and locked for as long as the process lives.
The oldest ticket goes next. Locks are the operating system's (`flock`): they go with their process, however that ends,
and a ticket that nobody holds is thrown away by whoever finds it.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

POLL = 0.2  # seconds


@contextlib.contextmanager
def turn(device: str, waiting: Callable[[int], None] = lambda ahead: None, since: int | None = None) -> Iterator[None]:
    """Hold a device; wait for it first if others do or came before.

    Args:
        device: "cpu", "cuda" or "mps".
        waiting: called every POLL seconds with how many are ahead. What it raises ends the waiting.
        since: when this one came, in nanoseconds of the clock; None for now.
    """
    folder = user_cache_path("deep-learning-atelier") / "queue" / device
    folder.mkdir(parents=True, exist_ok=True)
    ticket = folder / f"{since or time.time_ns():020}-{os.getpid()}-{secrets.token_hex(2)}.ticket"
    try:
        with FileLock(ticket):
            while ahead := _ahead_of(ticket):
                waiting(ahead)
                time.sleep(POLL)
            with _held(folder / "device.lock", waiting):
                yield
    finally:
        ticket.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(file: Path, waiting: Callable[[int], None]) -> Iterator[None]:
    """The device itself: whoever draws an older ticket after this one has looked must still wait."""
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
    """How many living tickets are older."""
    ahead = 0
    for other in ticket.parent.glob("*.ticket"):
        if other.name >= ticket.name:
            continue
        try:
            with FileLock(other, timeout=0):
                other.unlink(missing_ok=True)  # its process has ended
        except Timeout:
            ahead += 1
    return ahead
