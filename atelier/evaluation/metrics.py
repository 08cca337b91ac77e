"""Standard metrics of classification and detection, computed by torchmetrics."""

from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from atelier.classifier import Classifier
from atelier.data import hands, mnist, scenes
from atelier.zoo import Family


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute accuracy, macro-averaged F1 and cross-entropy loss.

    Args:
        probabilities: `float[N, 10]`, rows sum to 1.
        labels: `int64[N]`.

    Returns:
        `accuracy` and `macro_f1` in 0..1, `loss` in nats.
    """
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    metrics = {
        "accuracy": multiclass_accuracy(p, y, num_classes=mnist.CLASSES, average="micro"),
        "macro_f1": multiclass_f1_score(p, y, num_classes=mnist.CLASSES, average="macro"),
        "loss": F.nll_loss(p.clamp(min=1e-12).log(), y),
    }
    return {name: round(value.item(), 6) for name, value in metrics.items()}


def evaluate(classifier: Classifier) -> dict[str, Any]:
    """Compute the metrics of `python -m atelier evaluate`; None where a metric does not apply.

    They come from the 10,000 test digits of MNIST, from two sets of other people's digits (see `atelier.data.hands`)
    and, for a detector, from fixed scenes. No network is trained on any of these.
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
    """Compute a detector's mean average precision on 1,000 fixed scenes of test digits.

    Returns:
        `map50`: a box is correct if its digit is, and its intersection over union with the true box is at least 0.5.
        `map50_95`: the mean over ten thresholds from 0.5 to 0.95 (Lin et al. 2014, arXiv:1405.0312). Both in 0..1.
    """
    metric = MeanAveragePrecision()
    for scene in scenes.measuring_scenes():
        detections = detector.detect(scene.picture)
        metric.update(
            [{name: torch.tensor(getattr(detections, name)) for name in ("boxes", "scores", "labels")}],
            [{name: torch.tensor(getattr(scene, name)) for name in ("boxes", "labels")}],
        )
    values = metric.compute()
    return {"map50": round(values["map_50"].item(), 6), "map50_95": round(values["map"].item(), 6)}


def accuracy_by_hand(classifier: Classifier) -> dict[str, float]:
    """Compute the accuracy on the pen strokes of each person (hand)."""
    images, labels, names = hands.pen_strokes()
    correct = pd.Series(classifier.predict(images) == labels)
    return correct.groupby(list(names), sort=False).mean().to_dict()
