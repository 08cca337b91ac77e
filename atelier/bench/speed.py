"""Latency, throughput and memory of a network that classifies digits."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from atelier.classifier import Classifier, inference_batch
from atelier.data import mnist
from atelier.paths import ROOT

WARM_UP, REPEATS = 5, 50


def latency(classifier: Classifier) -> float:
    """Milliseconds from one digit to its ten probabilities: the median over REPEATS test digits."""
    return statistics.median(answer_times(classifier))


def answer_times(classifier: Classifier, repeats: int = REPEATS) -> list[float]:
    """Milliseconds from one digit to its ten probabilities, of each of the first test digits."""
    images, _ = mnist.load("test")
    taken = []
    for image in images[: WARM_UP + repeats]:
        started = time.perf_counter()
        classifier.predict_proba(np.array(image[None]))
        taken.append(1000 * (time.perf_counter() - started))
    return taken[WARM_UP:]


def predict_in_batches(classifier: Classifier, images: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Classify digits `uint8[N, 28, 28]` in batches of about a second each.

    Yields:
        the probabilities of a batch, `float32[batch, 10]`, and its seconds.
    """
    batch = 2 * inference_batch(classifier.device)
    classifier.predict_proba(images[:batch])  # warms up
    for start in range(0, len(images), batch):
        started = time.perf_counter()
        probabilities = classifier.predict_proba(images[start : start + batch])
        yield probabilities, time.perf_counter() - started


def peak_memory(file: Path, device: str) -> float:
    """The peak of memory to load a checkpoint and classify digits, in megabytes (10⁶ bytes).

    On a GPU: the memory that PyTorch has allocated there. Else: the memory of a new process, of which Python and
    PyTorch take a few hundred megabytes (NaN on Windows).

    Raises:
        RuntimeError: if that process fails.
    """
    command = [sys.executable, "-m", "atelier.bench.memory", str(Path(file).resolve()), device]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The memory could not be measured: {done.stderr.strip()[-300:]}")
    return float(done.stdout) / 1e6
