"""The events of a training."""

from dataclasses import dataclass

Counts = tuple[tuple[int, ...], ...]  # ten rows of ten: how often each true digit (row) was read as each digit (column)


@dataclass(frozen=True)
class Event:
    """A measurement during a training."""

    split: str  # "train": the mean since the last event; "val": all validation digits
    step: int  # optimiser steps so far
    epoch: float  # passes over the training digits so far
    seconds: float  # spent training and validating so far, earlier parts of a resumed run included
    loss: float  # "val" and "test": cross-entropy in nats; "train": what is minimised, see `tasks.py`
    accuracy: float  # 0 to 1; while training, on augmented digits
    learning_rate: float
    images_per_second: float
    confusion: Counts | None = None  # "val" and "test" only


@dataclass(frozen=True)
class Preparation:
    """Progress of a computation that comes before the next step."""

    what: str  # such as "Computes frozen features"
    done: int
    of: int
    unit: str  # such as "digits"

    def __str__(self) -> str:
        return f"{self.what}: {self.done:,} of {self.of:,} {self.unit}."
