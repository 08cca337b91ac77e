"""Failures: which networks get which digits right, from their saved predictions. Nothing here needs PyTorch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from atelier.data.mnist import CLASSES

GUESS, CONFIDENCE = "_guess", "_confidence"  # suffixes after a network's name in saved predictions


@dataclass(frozen=True)
class Predictions:
    """Predictions of several networks for the same N digits. Tables have a row for each digit, a column a network."""

    labels: np.ndarray  # int64[N], the true digits
    predicted: pd.DataFrame  # int64, the predicted digits
    confidence: pd.DataFrame  # float64, the probability of the predicted digit, in 0..1

    @cached_property
    def correct(self) -> pd.DataFrame:
        """bool."""
        return self.predicted.eq(self.labels, axis=0)

    @cached_property
    def surprise(self) -> pd.DataFrame:
        """float64: the confidence of a mistake, and the negative confidence of a correct prediction.

        Confident mistakes, which are the most instructive digits, have the highest values.
        """
        return self.confidence.where(~self.correct, -self.confidence)

    @property
    def networks(self) -> list[str]:
        return list(self.predicted)

    def select(self, networks: list[str]) -> "Predictions":
        """The predictions of these networks alone."""
        return Predictions(self.labels, self.predicted[networks], self.confidence[networks])


def load_predictions(arrays: Mapping[str, np.ndarray], labels: np.ndarray, networks: Iterable[str]) -> Predictions:
    """Load saved predictions. Networks whose predictions are missing or damaged are left out.

    Args:
        arrays: `<network>_guess` uint8[N] and `<network>_confidence` float[N], as the study `leaderboard` saves them.
        labels: `int64[N]`.
        networks: in the order of the columns.
    """
    predicted, confidence = {}, {}
    for network in networks:
        digits, probabilities = (arrays.get(f"{network}{suffix}", np.empty(0)) for suffix in (GUESS, CONFIDENCE))
        same_shape = digits.shape == probabilities.shape == labels.shape
        valid = same_shape and digits.dtype == np.uint8 and probabilities.dtype.kind == "f"
        if valid and np.isfinite(probabilities).all() and digits.max(initial=0) < CLASSES:
            predicted[network], confidence[network] = digits.astype(np.int64), probabilities.astype(np.float64)
    rows = range(len(labels))
    return Predictions(labels, pd.DataFrame(predicted, index=rows), pd.DataFrame(confidence, index=rows))


def confusion_matrix(predictions: Predictions, network: str) -> np.ndarray:
    """`int64[10, 10]`: how often each true digit (row) is predicted as each digit (column)."""
    cells = CLASSES * predictions.labels + predictions.predicted[network]
    return np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def count_correct(predictions: Predictions) -> np.ndarray:
    """`int64[networks + 1]`: the number of digits that exactly 0, 1, … of the networks get right."""
    return np.bincount(predictions.correct.sum(axis=1), minlength=len(predictions.networks) + 1)


# Indices `int64[K]` of digits, the most surprising first --------------------------------------------------------------


def predicted_as(predictions: Predictions, network: str, true: int, predicted: int) -> np.ndarray:
    """The digits in one cell of a network's confusion matrix."""
    chosen = (predictions.labels == true) & (predictions.predicted[network] == predicted)
    return _most_surprising_first(chosen, predictions.surprise[network])


def correct_by(predictions: Predictions, count: int) -> np.ndarray:
    """The digits that exactly `count` of the networks get right."""
    return _most_surprising_first(predictions.correct.sum(axis=1) == count, predictions.surprise.max(axis=1))


def only_first_correct(predictions: Predictions, first: str, second: str) -> np.ndarray:
    """The digits that the first network gets right and the second wrong, by the confidence of the second."""
    chosen = predictions.correct[first] & ~predictions.correct[second]
    return _most_surprising_first(chosen, predictions.surprise[second])


def _most_surprising_first(chosen: pd.Series | np.ndarray, surprise: pd.Series) -> np.ndarray:
    digits = np.flatnonzero(chosen)
    return digits[np.argsort(-surprise.to_numpy()[digits], kind="stable")]
