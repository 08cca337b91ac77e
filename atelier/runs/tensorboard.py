"""The curves of a run for TensorBoard users: `tensorboard --logdir runs`."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from atelier.training.events import Event

E = TypeVar("E")


def log_events(events: Iterator[E], folder: Path) -> Iterator[E]:
    """Write events into an event file in `folder`, and pass them on."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for event in events:
            if isinstance(event, Event):
                for value in ("loss", "accuracy", "learning_rate", "images_per_second"):
                    writer.add_scalar(f"{value}/{event.split}", getattr(event, value), event.step)
            yield event


def check_installed() -> None:
    """Refuse to log without TensorBoard.

    Raises:
        ValueError: if TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ValueError("TensorBoard is not installed. Install it with `pip install tensorboard`.")
