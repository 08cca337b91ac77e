"""Tables of the Compare page and the report: four digits and three networks, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from atelier.evaluation import tables
from atelier.evaluation.failures import Said

LABELS = np.array([0, 1, 1, 4])
GUESSES = pd.DataFrame({"a": [0, 1, 7, 9], "b": [0, 7, 7, 9], "c": [0, 1, 1, 9]})
SURE = pd.DataFrame({"a": [0.99, 0.9, 0.8, 0.6], "b": [0.9, 0.9, 0.9, 0.9], "c": [1.0, 1.0, 1.0, 0.4]})


@pytest.fixture
def said():
    return Said(LABELS, GUESSES, SURE)


def test_confusions_have_a_row_for_each_network_true_digit_and_answer(said):
    table = tables.confusions(said)
    assert len(table) == 3 * 10 * 10
    seen = table[table["count"] > 0]
    assert list(seen[seen.network == "b"].itertuples(index=False, name=None)) == [
        ("b", 0, 0, 1),
        ("b", 1, 7, 2),
        ("b", 4, 9, 1),
    ]


def test_reliability_has_the_bins_of_each_network(said):
    table = tables.reliability(said)
    assert list(table.network.unique()) == ["a", "b", "c"]
    (row,) = table[(table.network == "b") & (table.digits > 0)].itertuples()
    assert (row.digits, row.confidence, row.accuracy) == (4, pytest.approx(0.9), 0.25)


def test_agreement_counts_digits_by_how_many_read_them_right(said):
    assert tables.agreement(said).values.tolist() == [[0, 1], [1, 1], [2, 1], [3, 1]]


def test_misread_digits_come_with_all_answers_the_hardest_first(said):
    table = tables.misread(said)
    assert table.test_digit.tolist() == [3, 2, 1]
    assert table.read_right_by.tolist() == [0, 1, 2]
    assert table.b_guess.tolist() == [9, 7, 7]
    assert table.a_confidence.tolist() == [0.6, 0.8, 0.9]


def test_all_pairs_are_tested(said):
    table = tables.pairs(said)
    assert [(row.first, row.second) for row in table.itertuples()] == [("a", "b"), ("a", "c"), ("b", "c")]
    last = table.iloc[-1]
    # b and c: two digits that only c reads right; two tosses of a coin are tails in one case of four, two-sided 0.5
    assert (last.only_first_right, last.only_second_right, last.digits, last.p) == (0, 2, 4, 0.5)
    assert last.chance == "could be"
