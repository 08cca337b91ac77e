"""What a training tells whoever listens."""

from dataclasses import dataclass

Counts = tuple[tuple[int, ...], ...]  # ten rows of ten: how often each true digit (row) was read as which (column)


@dataclass(frozen=True)
class Event:
    """Something a listener may want to show."""

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
    """Something takes time before the network can learn on."""

    what: str  # "Computes frozen features"
    done: int
    of: int
    unit: str  # "digits"

    def __str__(self) -> str:
        return f"{self.what}: {self.done:,} of {self.of:,} {self.unit}."
