"""The events of a run so far, as a table for curves and notebooks. Damaged lines are left out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atelier.data.mnist import CLASSES
from atelier.recipe import Recipe
from atelier.runs.folder import NUMBERS, Run, Stamp

COLUMNS = ("split", *NUMBERS, "learning_rate", "images_per_second")


@dataclass(frozen=True)
class History:
    """The events of a run so far."""

    events: pd.DataFrame  # the columns COLUMNS, in the order of time; the last two may be NaN
    confusion: np.ndarray | None = None  # the latest, int64[10, 10], a row for each true digit
    problem: str = ""


@dataclass(frozen=True)
class Progress:
    """The progress of a run."""

    share: float  # 0 to 1
    step: int
    steps: int  # in all
    epoch: float
    seconds: float
    left: float | None  # seconds to go at the pace of the last epoch; None before there is one


def read(run: Run) -> History:
    """The history of a run, not to be changed: the same object returns until the run has new events."""
    now, known = run.stamp("metrics.jsonl"), _histories.get(run.folder)
    if known is None or known[0] != now:
        known = _histories[run.folder] = now, _read(run)
    return known[1]


_histories: dict[Path, tuple[Stamp, History]] = {}  # the latest of each folder, and the stamp that it was read at


def _read(run: Run) -> History:
    try:
        metrics = run.metrics()
    except OSError:
        return History(pd.DataFrame(columns=COLUMNS), problem=f"metrics.jsonl of run {run.id} cannot be read.")
    events = pd.DataFrame([{name: event.get(name) for name in COLUMNS} for event in metrics], columns=COLUMNS)
    for name in COLUMNS[-2:]:
        events[name] = pd.to_numeric(events[name].where(events[name].map(np.isscalar)), errors="coerce")
    matrices = (_confusion(event["confusion"]) for event in reversed(metrics) if "confusion" in event)
    return History(events, next((matrix for matrix in matrices if matrix is not None), None))


def _confusion(counts: object) -> np.ndarray | None:
    """Counts as `int64[10, 10]`; None for anything else."""
    try:
        matrix = np.array(counts)
    except ValueError:  # rows of different lengths
        return None
    return matrix if matrix.shape == (CLASSES, CLASSES) and matrix.dtype == np.int64 and matrix.min() >= 0 else None


def progress(events: pd.DataFrame, recipe: Recipe) -> Progress:
    """The progress of a run with these events."""
    steps = recipe.epochs * (recipe.train_size // recipe.batch_size)
    learning = events[events.split != "test"]
    if learning.empty:
        return Progress(0.0, 0, steps, 0.0, 0.0, None)
    now = learning.iloc[-1]
    earlier = learning[learning.epoch <= now.epoch - 1]
    epoch, seconds = (earlier.epoch.iloc[-1], earlier.seconds.iloc[-1]) if len(earlier) else (0.0, 0.0)
    to_come = max(0.0, recipe.epochs - now.epoch)
    left = to_come * max(0.0, now.seconds - seconds) / (now.epoch - epoch) if now.epoch > epoch else None
    return Progress(min(1.0, now.epoch / recipe.epochs), int(now.step), steps, now.epoch, now.seconds, left)


def to_csv(run: Run) -> str:
    """A run's events as CSV, one event a line."""
    return read(run).events.to_csv(index=False)
