import numpy as np
import pytest
from scipy.stats import binomtest

from atelier.evaluation.significance import Comparison, compare, mcnemar, wilson

# Newcombe 1998, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17: table I, method 3.
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("right", "of", "low", "high"), NEWCOMBE)
def test_wilson_gives_the_intervals_that_newcombe_published(right, of, low, high):
    assert wilson(right, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "of"), [(9963, 10_000), (10_000, 10_000), (1, 2), (0, 1)])
def test_wilson_agrees_with_scipy(right, of):
    for confidence in (0.95, 0.99):
        theirs = binomtest(right, of).proportion_ci(confidence, method="wilson")
        assert wilson(right, of, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("right", "of"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_share(right, of):
    with pytest.raises(ValueError, match="no share"):
        wilson(right, of)


def test_mcnemar_gives_published_p_values():
    # Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91: 1 and 7 discordant pairs.
    assert mcnemar(1, 7) == pytest.approx(18 / 2**8)  # 0.070
    # Agresti 1990, Categorical data analysis, p. 350, as in the documentation of R's exact2x2: 150 and 86.
    assert mcnemar(150, 86) == pytest.approx(3.716e-05, rel=1e-3)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (5, 5), (34, 46), (60, 31), (4_000, 4_100)])
def test_mcnemar_agrees_with_scipy(first, second):
    theirs = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(theirs, rel=1e-9)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_only_digits_that_one_of_the_two_gets_right_count():
    first = np.array([True, True, True, False, False])
    second = np.array([True, False, False, True, False])
    assert compare(first, second) == Comparison(digits=5, only_first=2, only_second=1)
    with pytest.raises(ValueError, match="same digits"):
        compare(first, second[:3])


def test_a_class_reads_what_the_test_says():
    assert Comparison(10_000, 34, 46).sentence == (
        "These two differ by 12 of 10,000 digits; that could be chance (p = 0.22)."
    )
    assert Comparison(10_000, 60, 31).sentence == (
        "These two differ by 29 of 10,000 digits; that is hardly chance (p = 0.0031)."
    )
    assert "hardly chance (p < 0.001)" in Comparison(10_000, 20, 500).sentence
    assert Comparison(10_000, 7, 7).sentence == "These two get equally many of 10,000 digits right."
