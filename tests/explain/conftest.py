"""Networks and digits that tests of explanations share."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

import atelier
from atelier.classifier import Classifier
from atelier.data import mnist


@pytest.fixture(scope="session")
def load() -> Callable[[str], Classifier]:
    """Load shipped weights, once for all tests."""
    return functools.cache(lambda name: atelier.load(name, "cpu"))


@pytest.fixture(scope="session")
def four() -> np.ndarray:
    """A test digit, a 4."""
    return mnist.load("test")[0][247]
