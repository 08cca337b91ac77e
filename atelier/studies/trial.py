"""Steps that several studies share: train a network, and measure its accuracy.

Both are generators that yield None about every second, so that a person can stop a study at any time. They return their
result: `accuracy = yield from trial.accuracy(…)`.
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
from atelier.studies.study import Row
from atelier.training.feature_cache import FeatureCache
from atelier.training.loop import train_epoch
from atelier.training.setup import new_session, new_task
from atelier.training.tasks import FineTuning
from atelier.zoo import MODELS

CHUNK = 250  # digits between two yields, when a network or its frozen layers read
EVERY = 1.0  # seconds between two yields while training


@cache
def shipped(network: str, device: str) -> Classifier:
    """A shipped network, loaded once."""
    return Classifier.load(network, device)


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The indices `int64[count]`, rising, of a random sample of digits, stratified by class.

    Args:
        labels: `int64[N]`.
        count: at most N.
        seed: of the random order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # shuffled within each class
    return np.sort(order[np.arange(count) * len(order) // count])


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> Generator[None, None, float]:
    """The accuracy, in 0..1, on digits `uint8[N, 28, 28]` with labels `int64[N]`."""
    correct = 0
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        correct += int(np.sum(classifier.predict(images[part]) == labels[part]))
        yield None
    return correct / len(images)


def train(
    network: str, config: dict[str, Any], recipe: Recipe, device: str
) -> Generator[None, None, tuple[Classifier, float]]:
    """Train a network on a sample of the training split that depends on the recipe's seed.

    The steps are those of `loop.fit`, without its validation after each epoch: with few digits it would take most of
    the time, and no choice depends on it here.

    Args:
        network: a name in MODELS.
        config: sizes that differ from its default ones.
        recipe: its `train_size` is the number of digits.
        device: "cpu", "cuda" or "mps".

    Returns:
        the network, and the seconds from the first feature or step to the last step. A training that diverges returns
        a network that guesses.

    Raises:
        CheckpointError: if its backbone is missing or damaged.
    """
    place = pick_device(device)
    session = new_session(network, recipe, place, config)
    images, labels = mnist.load("train")
    sample = stratified(labels, recipe.train_size, recipe.seed)
    digits = torch.tensor(images[sample], device=place), torch.tensor(labels[sample], device=place)
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


def train_and_test(
    network: str, config: dict[str, Any], recipe: Recipe, device: str, digits: int
) -> Generator[None, None, tuple[Row, Classifier]]:
    """Train a network as `train` does.

    Returns:
        its `accuracy` on so many test digits and the training time in `seconds`, and the network.
    """
    classifier, seconds = yield from train(network, config, recipe, device)
    images, labels = mnist.load("test")
    subset = stratified(labels, digits)
    share = yield from accuracy(classifier, images[subset], labels[subset])
    return {"accuracy": share, "seconds": seconds}, classifier


class NoCache(FeatureCache):
    """An empty cache: each fine-tuning takes as long as the first one."""

    def get(self, key: str) -> None:
        return None

    def put(self, key: str, tensor: Tensor) -> None:
        pass
