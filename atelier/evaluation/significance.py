"""What may be chance: how far a measured accuracy can be trusted, and whether two networks really differ.

The test digits are a sample. Ten thousand others would have given other accuracies.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

CHANCE = 0.05  # p-values below are not called chance


def wilson(right: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which shares the true one probably lies (Wilson 1927, Journal of the American Statistical Association
    22). Unlike the textbook's share ± 2 standard deviations, it is good near 0% and 100%, too (Newcombe 1998,
    Statistics in Medicine 17).

    Args:
        right: of so many digits the answer was right.
        of: all digits, at least one.
        confidence: how probably, between 0 and 1.

    Returns:
        the least and the greatest share, in 0..1.

    Raises:
        ValueError: for impossible numbers.
    """
    if not 0 <= right <= of or of < 1:
        raise ValueError(f"{right} of {of} is no share.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / of
    centre = share + z * z / (2 * of)
    reach = z * sqrt(share * (1 - share) / of + (z / (2 * of)) ** 2)
    low, high = ((centre + side * reach) / (1 + z * z / of) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """How probably chance alone makes two equally good networks differ at least so much (McNemar 1947, Psychometrika
    12; exact). Digits that both get right or both get wrong say nothing; the others are like tosses of a fair coin.

    Args:
        only_first: digits that only the first network got right.
        only_second: that only the second got right.

    Returns:
        the two-sided p-value, in 0..1.
    """
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    ways = term = 1  # to toss so few heads: none, …
    for heads in range(fewer):
        term = term * (tosses - heads) // (heads + 1)  # one more
        ways += term
    return min(1.0, 2 * ways / 2**tosses)


@dataclass(frozen=True)
class Comparison:
    """Two networks that have read the same digits."""

    digits: int
    only_first: int  # digits that only the first got right
    only_second: int

    @property
    def p(self) -> float:
        return mcnemar(self.only_first, self.only_second)

    @property
    def is_chance(self) -> bool:
        """Whether chance alone may well make such a difference."""
        return self.p >= CHANCE

    @property
    def sentence(self) -> str:
        difference = abs(self.only_first - self.only_second)
        if difference == 0:
            return f"These two get equally many of {self.digits:,} digits right."
        verdict = "that could be chance" if self.is_chance else "that is hardly chance"
        p = f"p = {self.p:.2g}" if self.p >= 0.001 else "p < 0.001"
        return f"These two differ by {difference:,} of {self.digits:,} digits; {verdict} ({p})."


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two networks' answers to the same digits.

    Args:
        first, second: `bool[N]`, whether each answer was right.

    Raises:
        ValueError: if these are not equally many.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError("Two networks can be compared on the same digits only.")
    return Comparison(len(first), int(np.sum(first & ~second)), int(np.sum(second & ~first)))
