"""Work for a page on other threads: several networks side by side, and what the next click may need."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

DRAWING = 1.0  # seconds that a browser takes to draw a view, or a little more

Result = TypeVar("Result")

_cores = ThreadPoolExecutor(os.cpu_count())
_single = ThreadPoolExecutor(1)
_ahead: list[Future] = []
_planning = threading.Lock()


def side_by_side(function: Callable[..., Result], *of_each: Iterable) -> list[Result]:
    """`function` for each network, on as many cores as there are, and one call after another for all visitors: more at
    once would only take the cores from each other."""
    return list(_cores.map(function, *of_each))


def look_ahead(calls: Iterable[Callable[[], object]]) -> None:
    """Compute on one core what the next click may need, once the page is drawn; each call caches its result.

    Only for the most recent visitor: a class that clicks at once needs the cores.
    """
    with _planning:
        for other in _ahead:
            other.cancel()
        _ahead[:] = [_single.submit(time.sleep, DRAWING), *map(_single.submit, calls)]
