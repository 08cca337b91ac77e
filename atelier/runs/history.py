"""What a run has told so far, for the pages' curves and for notebooks. What is damaged is left out; nothing here raises
an error for it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from atelier.recipe import Recipe
from atelier.runs.folder import Run, Stamp

# What an event holds, and the largest value that is believed; the smallest is 0.
EVENT = {
    "step": 1e9,
    "epoch": 1e6,
    "seconds": 1e8,
    "loss": 1e6,
    "accuracy": 1.0,
    "learning_rate": 1.0,
    "images_per_second": 1e9,
}
NEEDED = ("step", "epoch", "seconds", "loss", "accuracy")  # without these, an event is left out


@dataclass(frozen=True)
class History:
    """What a run has told so far."""

    events: pd.DataFrame  # split ("train", "val" or "test") and the columns of EVENT, in the order of time
    confusion: np.ndarray | None = None  # the last one, int64[10, 10], a row a true digit
    problem: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    share: float  # 0 to 1
    step: int
    steps: int  # in all
    epoch: float
    seconds: float
    left: float | None  # seconds to come, if the pace of the last epoch stays; None before there is one


def read(run: Run) -> History:
    """Not to be changed: the same one is returned as long as the run has nothing new to tell."""
    now, known = run.stamp("metrics.jsonl"), _histories.get(run.folder)
    if known is None or known[0] != now:
        known = _histories[run.folder] = now, _read(run)
    return known[1]


_histories: dict[Path, tuple[Stamp, History]] = {}  # of each folder the last one, and what it was read from


def _read(run: Run) -> History:
    problem, confusion, rows = "", None, []
    try:
        told = run.metrics()
    except (OSError, ValueError, TypeError, RecursionError):
        told, problem = [], f"metrics.jsonl of run {run.id} is damaged: its curves are lost."
    for event in told:
        row = {name: believable(event.get(name), largest) for name, largest in EVENT.items()}
        if event.get("split") in ("train", "val", "test") and None not in map(row.get, NEEDED):
            rows.append({"split": event["split"]} | row)
            found = _confusion(event.get("confusion"))
            confusion = confusion if found is None else found
    return History(pd.DataFrame(rows, columns=["split", *EVENT]), confusion, problem)


def _confusion(counts: object) -> np.ndarray | None:
    try:
        matrix = np.array(counts)
    except (ValueError, OverflowError):
        return None
    whole = matrix.shape == (10, 10) and matrix.dtype == np.int64 and matrix.min() >= 0
    return matrix if whole and matrix.max() <= 10**9 else None


def progress(events: pd.DataFrame, recipe: Recipe) -> Progress:
    """How far a run with these events is."""
    per_epoch = recipe.train_size // recipe.batch_size
    steps = recipe.epochs * per_epoch
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
    """A run's events, a line each."""
    return read(run).events.to_csv(index=False)


def believable(value: object, largest: float) -> float | None:
    """A number from 0 to the largest; None for anything else."""
    return float(value) if type(value) in (int, float) and 0 <= value <= largest else None
