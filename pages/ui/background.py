"""Work for a page on other threads: several networks in parallel, and what the next click may need."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

DELAY = 1.0  # seconds in which the browser draws the page

Result = TypeVar("Result")

_all_cores = ThreadPoolExecutor(os.cpu_count())
_one_core = ThreadPoolExecutor(1)
_planned: list[Future] = []
_planning = threading.Lock()


def in_parallel(function: Callable[..., Result], *arguments: Iterable) -> list[Result]:
    """As `list(map(function, *arguments))`, on all cores. All visitors share them: more threads would be slower."""
    return list(_all_cores.map(function, *arguments))


def compute_ahead(calls: Iterable[Callable[[], object]]) -> None:
    """Compute on one core what the next click may need, once the page is drawn; each call caches its result.

    The latest visitor's calls replace those that still wait: a class that clicks at once needs the cores.
    """
    with _planning:
        for future in _planned:
            future.cancel()
        _planned[:] = [_one_core.submit(time.sleep, DELAY), *map(_one_core.submit, calls)]
