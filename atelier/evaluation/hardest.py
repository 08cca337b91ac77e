"""The test digits that a network finds hardest."""

import numpy as np

from atelier.classifier import Classifier
from atelier.data import mnist


def hardest(classifier: Classifier, count: int = 100) -> np.ndarray:
    """Numbers `int64[count]` of the test digits to whose true class the network gives the least probability, the
    hardest first. It reads all 10,000 of them."""
    images, labels = mnist.load("test")
    on_truth = classifier.predict_proba(images)[np.arange(len(labels)), labels]
    return np.argsort(on_truth, kind="stable")[:count]
