"""How long a network takes to answer."""

import statistics
import time

import numpy as np

from atelier.classifier import Classifier
from atelier.data import mnist

WARM_UP, REPEATS = 5, 50


def latency(classifier: Classifier) -> float:
    """Milliseconds from one digit to its ten probabilities: the median over REPEATS test digits."""
    images, _ = mnist.load("test")
    taken = []
    for image in images[: WARM_UP + REPEATS]:
        started = time.perf_counter()
        classifier.predict_proba(np.array(image[None]))
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken[WARM_UP:])
