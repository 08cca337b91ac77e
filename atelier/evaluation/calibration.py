"""Calibration: whether confidence matches accuracy. Of all answers with 90% confidence, 90% should be correct.

Guo et al. 2017, On calibration of modern neural networks (arXiv:1706.04599).
"""

import numpy as np
import pandas as pd

BINS = 15  # as in the paper


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Sort answers by confidence into bins of equal width, for a reliability diagram.

    Args:
        confidence: `float[N]`, the probability of each answer, in 0..1.
        correct: `bool[N]`, whether each answer is correct.
        bins: number of bins.

    Returns:
        a row for each bin: `low` and `high`, its bounds, of which `high` is inside; `digits`, the number of answers;
        `confidence` and `accuracy`, their means, NaN in an empty bin.
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    digits = np.bincount(number, minlength=bins)
    sums = [np.bincount(number, weights=values, minlength=bins) for values in (confidence, correct)]
    with np.errstate(invalid="ignore"):
        means = [total / digits for total in sums]
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "digits": digits, "confidence": means[0], "accuracy": means[1]}
    )


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: the mean distance between confidence and accuracy over all answers.

    Arguments as for `reliability`. In 0..1, 0 is best; NaN without answers.
    """
    table = reliability(confidence, correct, bins)
    gaps = (table.confidence - table.accuracy).abs() * table.digits
    return float(gaps.sum() / table.digits.sum()) if table.digits.sum() else float("nan")
