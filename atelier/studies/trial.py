"""What several studies do: train a network, and count the test digits that it reads right.

Both are generators that yield None about every second, for a person may stop a study at any time, and return what they
found: `accuracy = yield from trial.accuracy(…)`.
"""

import time
from collections.abc import Generator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.devices import pick_device
from atelier.recipe import Recipe
from atelier.training.feature_cache import FeatureCache
from atelier.training.loop import train_epoch
from atelier.training.setup import new_session, new_task
from atelier.training.tasks import FineTuning
from atelier.zoo import MODELS

CHUNK = 250  # digits that are read, or seen by frozen layers, between two signs of life
EVERY = 1.0  # seconds between them while training


@cache
def shipped(network: str, device: str) -> Classifier:
    """A network as it ships, loaded once."""
    return Classifier.load(network, device)


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Numbers `int64[count]`, rising, of digits drawn at random, each class in its share.

    Args:
        labels: `int64[N]`.
        count: at most N.
        seed: of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # shuffled within each class
    return np.sort(order[np.arange(count) * len(order) // count])


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> Generator[None, None, float]:
    """The share, in 0..1, of digits `uint8[N, 28, 28]` that are read as their labels `int64[N]` say."""
    right = 0
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        right += int(np.sum(classifier.predict(images[part]) == labels[part]))
        yield None
    return right / len(images)


def train(
    network: str, config: dict[str, Any], recipe: Recipe, device: str
) -> Generator[None, None, tuple[Classifier, float]]:
    """Train a network on digits that the recipe's seed draws from the training split.

    The steps are those of `loop.fit`. It validates after each epoch, and with few digits that would take most of the
    time; here nothing is chosen, so nothing is validated.

    Args:
        network: a name in MODELS.
        config: sizes that differ from its default ones.
        recipe: its `train_size` says how many digits.
        device: "cpu", "cuda" or "mps".

    Returns:
        the network, and the seconds from the first feature or step to the last step. One whose training diverged is
        returned, too: it reads no better than guessing.

    Raises:
        CheckpointError: if the backbone it builds on cannot be had.
    """
    place = pick_device(device)
    session = new_session(network, recipe, place, config)
    images, labels = mnist.load("train")
    drawn = stratified(labels, recipe.train_size, recipe.seed)
    digits = torch.tensor(images[drawn], device=place), torch.tensor(labels[drawn], device=place)
    one_digit = digits[0][:1], digits[1][:1]  # in place of validation digits
    task = new_task(network, session, digits, one_digit)
    if isinstance(task, FineTuning):
        task.cache, task.chunk = NoCache(), CHUNK
    started = last_yield = time.perf_counter()
    while session.epoch < recipe.epochs:
        for _ in task.start_epoch(session.epoch):
            yield None
        for _ in train_epoch(session, task):
            if time.perf_counter() - last_yield > EVERY:
                last_yield = time.perf_counter()
                yield None
        session.epoch += 1
    if place.type != "cpu":
        torch.accelerator.synchronize()
    return Classifier(MODELS[network], session.answering, {}), time.perf_counter() - started


class NoCache(FeatureCache):
    """Keeps no features on disk and finds none: fine-tuning takes as long as it does the first time."""

    def get(self, key: str) -> None:
        return None

    def put(self, key: str, tensor: Tensor) -> None:
        pass
