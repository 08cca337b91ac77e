"""How many digits a second each network takes on this machine: `python -m atelier bench throughput`.

`estimate.py` makes of it how long a training will take. Measured in a process of its own, with all the cores.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from atelier.data import mnist
from atelier.data.augment import augment
from atelier.devices import pick_precision
from atelier.training.loop import Event, Session, fit
from atelier.training.tasks import Digits, inference_batch, predict_logits
from atelier.zoo import MODELS

ROOT = Path(__file__).parents[2]  # where a new Python finds this package
SECONDS = 1.5  # each number is measured about this long
STEPS = 4  # of an epoch, while measuring


def measure_throughput(name: str, device: torch.device) -> dict[str, float | None]:
    """Measure a network as it is by default, with the batch size of its full recipe. Takes about ten seconds.

    Returns:
        `train_digits_per_second`, with augmentation, unless that belongs to the frozen part;
        `frozen_digits_per_second`, augmentation and the frozen part, None for a network without one;
        `predict_digits_per_second`.

    Raises:
        CheckpointError: if a backbone's file is missing.
    """
    images, labels = (torch.tensor(part, device=device) for part in mnist.load("train"))
    recipe = MODELS[name].presets["full"]
    recipe = replace(recipe, epochs=100_000, train_size=STEPS * recipe.batch_size, variations=1)
    fabric = Fabric(accelerator=device.type, devices=1, precision=pick_precision(recipe.precision, device))
    session = Session(MODELS[name].build(), recipe, fabric)
    return {
        "train_digits_per_second": training_speed(session, (images, labels)),
        "frozen_digits_per_second": seeing_speed(session, images) if hasattr(session.network, "see") else None,
        "predict_digits_per_second": speed(partial(predict_logits, session.model), images),
    }


def training_speed(session: Session, training: Digits) -> float:
    """Digits a second, from the end of the first epoch, which warms up and sees what is frozen, to that of another."""
    one_digit = (training[0][:1], training[1][:1])
    first: tuple[int, float] | None = None
    for event in fit(session, training, one_digit):
        if isinstance(event, Event) and event.split == "val":
            now = time.perf_counter()
            first = first or (event.step, now)
            if now - first[1] > SECONDS:
                break
    return (event.step - first[0]) * session.recipe.batch_size / (now - first[1])


def seeing_speed(session: Session, images: Tensor) -> float:
    """Digits a second, varied and seen by the frozen part."""

    def see(digits: Tensor) -> Tensor:
        with torch.no_grad(), session.fabric.autocast():
            for batch in digits.split(inference_batch(digits.device)):
                varied = augment(batch.unsqueeze(1).float() / 255, session.recipe.augmentation)
                features = session.model.see(varied.contiguous(memory_format=torch.channels_last)).half()
        return features  # of the last batch

    return speed(see, images)


def speed(work: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Digits a second of `work`, which is given twice as many until it takes a while; only the last time counts."""
    count = 50
    while True:
        clock = time.perf_counter()
        work(images[:count]).sum().item()  # a GPU is done when the sum is known
        seconds = time.perf_counter() - clock
        if seconds > SECONDS / 2 or count == len(images):
            return count / seconds
        count = min(2 * count, len(images))


def startup_seconds(device: str) -> float:
    """From the start of a new Python until PyTorch, the data and the device are there."""
    code = "import torch, atelier.runs.recorder; from atelier.data import mnist; mnist.load('train'); "
    code += f"mnist.load('test'); torch.zeros(1, device={device!r})"
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - clock
