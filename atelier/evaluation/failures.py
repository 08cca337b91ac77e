"""Where networks fail: who reads which digits right, from what each has said. Nothing here needs PyTorch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from atelier.data.mnist import CLASSES

GUESS, CONFIDENCE = "_guess", "_confidence"  # behind a network's name, in a study's predictions


@dataclass(frozen=True)
class Said:
    """What networks said to the same N digits. In all tables a row is a digit, and a column a network."""

    labels: np.ndarray  # int64[N], the true digits
    guesses: pd.DataFrame  # int64
    confidence: pd.DataFrame  # float64, 0 to 1: the probability that it gave to its guess

    @cached_property
    def right(self) -> pd.DataFrame:
        """bool."""
        return self.guesses.eq(self.labels, axis=0)

    @cached_property
    def surprise(self) -> pd.DataFrame:
        """float64, the confidence of mistakes, and below zero that of right guesses: what there is most to learn from
        is highest, first the surest mistakes, last what was surely read right."""
        return self.confidence.where(~self.right, -self.confidence)

    @property
    def networks(self) -> list[str]:
        return list(self.guesses)

    def of(self, networks: list[str]) -> "Said":
        """What these networks said."""
        return Said(self.labels, self.guesses[networks], self.confidence[networks])


def said(predictions: Mapping[str, np.ndarray], labels: np.ndarray, networks: Iterable[str]) -> Said:
    """What these networks said, as far as it is whole; the others are left out.

    Args:
        predictions: `<network>_guess` uint8[N] and `<network>_confidence` float[N], as the study `leaderboard` leaves
            them.
        labels: `int64[N]`.
        networks: in the order of the columns.
    """
    guesses, confidence = {}, {}
    for network in networks:
        guess, sure = (predictions.get(f"{network}{what}", np.empty(0)) for what in (GUESS, CONFIDENCE))
        fits = guess.shape == sure.shape == labels.shape and guess.dtype == np.uint8 and sure.dtype.kind == "f"
        if fits and np.isfinite(sure).all() and guess.max(initial=0) < CLASSES:
            guesses[network], confidence[network] = guess.astype(np.int64), sure.astype(np.float64)
    rows = range(len(labels))
    return Said(labels, pd.DataFrame(guesses, index=rows), pd.DataFrame(confidence, index=rows))


def confusion(said: Said, network: str) -> np.ndarray:
    """`int64[10, 10]`: how often each digit (row) was taken for each (column)."""
    pairs = CLASSES * said.labels + said.guesses[network]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


# Numbers `int64[K]` of digits, the most surprising first --------------------------------------------------------------


def taken_for(said: Said, network: str, true: int, guess: int) -> np.ndarray:
    """The digits of a class that a network takes for a class."""
    return _sorted((said.labels == true) & (said.guesses[network] == guess), said.surprise[network])


def read_right_by(said: Said, count: int) -> np.ndarray:
    """The digits that exactly so many of the networks read right."""
    return _sorted(said.right.sum(axis=1) == count, said.surprise.max(axis=1))


def only_first_right(said: Said, first: str, second: str) -> np.ndarray:
    """The digits that one network reads right and another wrong; what counts is how sure the other is."""
    return _sorted(said.right[first] & ~said.right[second], said.surprise[second])


def _sorted(wanted: pd.Series | np.ndarray, surprise: pd.Series) -> np.ndarray:
    digits = np.flatnonzero(wanted)
    return digits[np.argsort(-surprise.to_numpy()[digits], kind="stable")]


# Tables --------------------------------------------------------------------------------------------------------------


def how_many_right(said: Said) -> np.ndarray:
    """`int64[networks + 1]`: how many digits exactly 0, 1, … of the networks read right."""
    return np.bincount(said.right.sum(axis=1), minlength=len(said.networks) + 1)


def told(said: Said, digits: np.ndarray) -> pd.DataFrame:
    """A row a digit: its number, its true class, and of each network `<network>_guess` and `<network>_confidence`."""
    columns = {"test_digit": digits, "true_digit": said.labels[digits]}
    for network in said.networks:
        columns[f"{network}{GUESS}"] = said.guesses[network].to_numpy()[digits]
        columns[f"{network}{CONFIDENCE}"] = said.confidence[network].to_numpy()[digits].round(4)
    return pd.DataFrame(columns)
