import numpy as np
import pytest

from atelier.evaluation.significance import Comparison, compare, mcnemar, wilson

# Newcombe 1998, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17: table I, method 3.
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("correct", "total", "low", "high"), NEWCOMBE)
def test_wilson_intervals_are_those_that_newcombe_published(correct, total, low, high):
    assert wilson(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_numbers(correct, total):
    with pytest.raises(ValueError, match="must"):
        wilson(correct, total)


def test_mcnemar_gives_published_p_values():
    # Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91: 1 and 7 discordant pairs.
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(18 / 2**8)  # 0.070
    # Agresti 1990, Categorical data analysis, p. 350, as in the documentation of R's exact2x2: 150 and 86.
    assert mcnemar(150, 86) == pytest.approx(3.716e-05, rel=1e-3)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1


def test_comparison_counts_digits_that_one_of_two_networks_gets_right():
    first = np.array([True, True, True, False, False])
    second = np.array([True, False, False, True, False])
    assert compare(first, second) == Comparison(digits=5, only_first=2, only_second=1)
    with pytest.raises(ValueError, match="same digits"):
        compare(first, second[:3])


@pytest.mark.parametrize(("only_first", "only_second", "significant"), [(34, 46, False), (60, 31, True), (7, 7, False)])
def test_small_differences_are_not_significant(only_first, only_second, significant):
    assert Comparison(10_000, only_first, only_second).is_significant == significant
