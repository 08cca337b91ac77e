"""Digits per second of each network on this machine: `python -m atelier bench throughput`.

`estimate.py` derives the time of a training from them. The process measures alone, with all cores.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from atelier.classifier import predict_logits
from atelier.paths import ROOT
from atelier.training.events import Event
from atelier.training.loop import fit
from atelier.training.session import Session
from atelier.training.setup import new_session, new_task, to_device
from atelier.training.tasks import Classification, FineTuning
from atelier.zoo import MODELS

SECONDS = 1.5  # each number is measured about this long
STEPS = 4  # of an epoch, while measuring


def measure_throughput(name: str, device: torch.device) -> dict[str, float | None]:
    """Measure a network of default sizes with the batch size of its full recipe; takes about ten seconds.

    Returns:
        `train_digits_per_second`, with augmentation, unless that belongs to the frozen part;
        `frozen_digits_per_second`, augmentation and the frozen part, None for a network without one;
        `predict_digits_per_second`.

    Raises:
        CheckpointError: if a backbone's file is missing.
    """
    images, labels = to_device("train", device)
    recipe = MODELS[name].presets["full"]
    recipe = replace(recipe, epochs=100_000, train_size=STEPS * recipe.batch_size, variations=1)
    session = new_session(name, recipe, device)
    task = new_task(name, session, (images, labels), (images[:1], labels[:1]))
    return {
        "train_digits_per_second": training_speed(session, task),
        "frozen_digits_per_second": extraction_speed(task, images) if isinstance(task, FineTuning) else None,
        "predict_digits_per_second": speed(partial(predict_logits, session.model), images),
    }


def training_speed(session: Session, task: Classification) -> float:
    """Digits a second, from the end of the first epoch, which warms up and computes frozen features, to a later end."""
    ends: list[tuple[int, float]] = []  # of epochs: step and time
    for event in fit(session, task):
        if isinstance(event, Event) and event.split == "val":
            ends.append((event.step, time.perf_counter()))
            if ends[-1][1] - ends[0][1] > SECONDS:
                break
    (first_step, first), (last_step, last) = ends[0], ends[-1]
    return (last_step - first_step) * session.recipe.batch_size / (last - first)


def extraction_speed(task: FineTuning, images: Tensor) -> float:
    """Digits a second, augmented and passed through the frozen layers."""
    return speed(lambda digits: task.extract_chunk(digits, 0, 0), images)


def speed(work: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Digits a second of `work`; their number doubles until they take long enough to be measured."""
    count = 50
    while True:
        clock = time.perf_counter()
        work(images[:count]).sum().item()  # a GPU is done when the sum is known
        seconds = time.perf_counter() - clock
        if seconds > SECONDS / 2 or count == len(images):
            return count / seconds
        count = min(2 * count, len(images))


def startup_seconds(device: str) -> float:
    """Seconds from the start of a new Python process until PyTorch, the data and the device are ready."""
    code = "import torch, atelier.runs.recorder; from atelier.data import mnist; mnist.load('train'); "
    code += f"mnist.load('test'); torch.zeros(1, device={device!r})"
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - clock
