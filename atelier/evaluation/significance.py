"""Statistical significance: how far to trust a measured accuracy, and whether two networks really differ.

The test digits are a sample. Another 10,000 digits would have given other accuracies.
"""

from dataclasses import dataclass

import numpy as np

ALPHA = 0.05  # a difference with a p-value below is significant


def wilson(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's confidence interval of a proportion (Wilson 1927, Journal of the American Statistical Association 22).

    It also holds near 0% and 100%, unlike the mean ± 2 standard deviations (Newcombe 1998, Statistics in Medicine 17).

    Args:
        correct: digits with a correct answer.
        total: all digits, at least one.
        confidence: probability that the interval holds the true proportion, between 0 and 1.

    Returns:
        the lower and the upper bound, in 0..1.

    Raises:
        ValueError: if `correct` of `total` is not a proportion.
    """
    from scipy.stats import binomtest  # here, because the import takes a quarter of a second

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(only_first: int, only_second: int) -> float:
    """P-value of McNemar's exact test (McNemar 1947, Psychometrika 12).

    It is the probability of at least this difference between two networks that are equally good. Only the digits that
    exactly one of them gets right count: they are like tosses of a fair coin.

    Args:
        only_first: digits that only the first network gets right.
        only_second: digits that only the second network gets right.

    Returns:
        the two-sided p-value, in 0..1.
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same digits."""

    digits: int
    only_first: int  # digits that only the first network gets right
    only_second: int

    @property
    def p(self) -> float:
        return mcnemar(self.only_first, self.only_second)

    @property
    def is_significant(self) -> bool:
        """Whether chance is an unlikely reason for the difference."""
        return self.p < ALPHA


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two networks on the same digits.

    Args:
        first, second: `bool[N]`, whether each answer is correct.

    Raises:
        ValueError: if their lengths differ.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError("Two networks can only be compared on the same digits.")
    return Comparison(len(first), int(np.sum(first & ~second)), int(np.sum(second & ~first)))
