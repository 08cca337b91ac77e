"""How well a network reads, in the numbers that everybody uses (computed by torchmetrics)."""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from atelier.classifier import Classifier
from atelier.data import hands, mnist


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-averaged F1 and cross-entropy loss.

    Args:
        probabilities: `float[N, 10]`, rows sum to 1.
        labels: `int64[N]`.

    Returns:
        `accuracy` and `macro_f1` in 0..1, `loss` in nats.
    """
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    metrics = {
        "accuracy": multiclass_accuracy(p, y, num_classes=10, average="micro"),
        "macro_f1": multiclass_f1_score(p, y, num_classes=10, average="macro"),
        "loss": F.nll_loss(p.clamp(min=1e-12).log(), y),
    }
    return {name: round(value.item(), 6) for name, value in metrics.items()}


def evaluate(classifier: Classifier) -> dict[str, Any]:
    """Everything that `python -m atelier evaluate` prints of a network; None where a number does not apply.

    The 10,000 test digits of MNIST; accuracy on two sets of other hands (see `atelier.data.hands`), none of them ever
    trained on; mean average precision for a detector.
    """
    images, labels = mnist.load("test")
    results = classification_metrics(classifier.predict_proba(images), labels)
    images, labels, _ = hands.pen_strokes()
    results["strokes_accuracy"] = float(np.mean(classifier.predict(images) == labels))
    images, labels = hands.small_digits()
    results["load_digits_accuracy"] = float(np.mean(classifier.predict(images) == labels))
    return {**results, "map50": None, "map50_95": None}


def accuracy_by_hand(classifier: Classifier) -> dict[str, float]:
    """Accuracy on the pen strokes of each hand."""
    images, labels, names = hands.pen_strokes()
    right: dict[str, list[bool]] = defaultdict(list)
    for name, is_right in zip(names, classifier.predict(images) == labels, strict=True):
        right[name].append(bool(is_right))
    return {name: float(np.mean(answers)) for name, answers in right.items()}
