"""How well a network reads, in the numbers that everybody uses (computed by torchmetrics)."""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from atelier.classifier import Classifier
from atelier.data import hands, mnist, scenes
from atelier.zoo import Family


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
    is_detector = classifier.spec.family is Family.DETECTOR
    return results | (mean_average_precision(classifier) if is_detector else {"map50": None, "map50_95": None})


def mean_average_precision(detector: Classifier) -> dict[str, float]:
    """How well a detector finds and reads the digits of 1,000 fixed scenes, all made from test digits.

    Returns:
        `map50` counts a box as right if it overlaps the true one by half (intersection over union) and names its digit;
        `map50_95` is the mean over ten such demands, up to 95% (Lin et al. 2014, arXiv:1405.0312). Both in 0..1.
    """
    metric = MeanAveragePrecision()
    for scene in scenes.measuring_scenes():
        found = detector.detect(scene.picture)
        metric.update(
            [{name: torch.tensor(getattr(found, name)) for name in ("boxes", "scores", "labels")}],
            [{name: torch.tensor(getattr(scene, name)) for name in ("boxes", "labels")}],
        )
    measured = metric.compute()
    return {"map50": round(measured["map_50"].item(), 6), "map50_95": round(measured["map"].item(), 6)}


def accuracy_by_hand(classifier: Classifier) -> dict[str, float]:
    """Accuracy on the pen strokes of each hand."""
    images, labels, names = hands.pen_strokes()
    right: dict[str, list[bool]] = defaultdict(list)
    for name, is_right in zip(names, classifier.predict(images) == labels, strict=True):
        right[name].append(bool(is_right))
    return {name: float(np.mean(answers)) for name, answers in right.items()}
