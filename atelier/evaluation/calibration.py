"""Whether a network knows how sure it may be: of all answers given with 90% confidence, 90% should be right.

Guo et al. 2017, On calibration of modern neural networks (arXiv:1706.04599).
"""

import numpy as np
import pandas as pd

BINS = 15  # as in the paper


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Sort answers by confidence into bins of equal width: the numbers of a reliability diagram.

    Args:
        confidence: `float[N]`, each answer's probability, in 0..1.
        right: `bool[N]`, whether it was right.
        bins: how many.

    Returns:
        a row a bin, empty ones too: `low` and `high`, its bounds, of which `high` belongs to it; `digits`, how many
        answers; `confidence` and `accuracy`, their means, NaN in an empty bin.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    digits = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (confidence, right)]
    with np.errstate(invalid="ignore"):
        means = [total / digits for total in sums]
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "digits": digits, "confidence": means[0], "accuracy": means[1]}
    )


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error: how far confidence and accuracy lie apart in a bin, on average over all answers.
    In 0..1, 0 is best; NaN without answers. Arguments as `reliability`."""
    table = reliability(confidence, right, bins)
    gaps = (table.confidence - table.accuracy).abs() * table.digits
    return float(gaps.sum() / table.digits.sum()) if table.digits.sum() else float("nan")
