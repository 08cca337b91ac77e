"""Who fails where: six digits and three networks, worked out by hand."""

import numpy as np
import pytest

from atelier.evaluation import failures

LABELS = np.array([0, 1, 2, 3, 4, 4])
GUESSES = {"a": [0, 1, 2, 3, 9, 4], "b": [0, 7, 2, 8, 9, 4], "c": [0, 7, 5, 3, 9, 4]}
SURE = {"a": [0.9, 0.8, 0.7, 0.6, 0.5, 1.0], "b": [0.8, 0.7, 0.9, 0.4, 0.6, 0.9], "c": [0.7, 0.9, 0.3, 0.8, 0.9, 0.2]}
PREDICTIONS = {f"{network}_guess": np.array(guess, np.uint8) for network, guess in GUESSES.items()} | {
    f"{network}_confidence": np.array(sure, np.float16) for network, sure in SURE.items()
}


@pytest.fixture
def said():
    return failures.said(PREDICTIONS, LABELS, ["a", "b", "c"])


def test_a_confusion_matrix_counts_true_digits_in_rows_and_guesses_in_columns(said):
    matrix = failures.confusion(said, "b")
    assert matrix.sum() == 6
    assert {(true, guess): matrix[true, guess] for true, guess in zip(*np.nonzero(matrix), strict=True)} == {
        (0, 0): 1, (1, 7): 1, (2, 2): 1, (3, 8): 1, (4, 4): 1, (4, 9): 1,
    }  # fmt: skip


def test_a_cell_of_the_matrix_has_its_digits(said):
    assert failures.taken_for(said, "b", true=1, guess=7).tolist() == [1]
    assert failures.taken_for(said, "a", true=7, guess=1).tolist() == []


def test_digits_by_how_many_read_them_right(said):
    assert failures.how_many_right(said).tolist() == [1, 1, 2, 2]
    assert failures.read_right_by(said, 0).tolist() == [4]
    assert failures.read_right_by(said, 1).tolist() == [1]


def test_sure_mistakes_come_first_and_so_do_unsure_hits(said):
    assert failures.read_right_by(said, 2).tolist() == [3, 2]  # wrong with 40% and with 30%
    assert failures.read_right_by(said, 3).tolist() == [5, 0]  # the least sure is so with 20% and with 70%


def test_digits_that_one_reads_right_and_another_wrong_are_sorted_by_how_sure_the_other_is(said):
    assert failures.only_first_right(said, "a", "b").tolist() == [1, 3]  # 70% and 40%
    assert failures.only_first_right(said, "b", "a").tolist() == []
    assert failures.only_first_right(said, "a", "c").tolist() == [1, 2]  # 90% and 30%


def test_what_was_said_of_some_digits_as_a_table(said):
    table = failures.told(said, np.array([4, 1]))
    assert table.test_digit.tolist() == [4, 1]
    assert table.true_digit.tolist() == [4, 1]
    assert table.c_guess.tolist() == [9, 7]
    assert table.a_confidence.tolist() == pytest.approx([0.5, 0.8], abs=1e-3)


@pytest.mark.parametrize(
    "damage",
    [
        {"b_guess": np.array([0, 7], np.uint8)},
        {"b_guess": np.full(6, 10, np.uint8)},
        {"b_guess": np.full(6, -1)},
        {"b_guess": np.full(6, "7")},
        {"b_confidence": np.full(6, np.nan, np.float16)},
        {"b_confidence": np.full(6, "sure")},
    ],
)
def test_a_network_whose_answers_are_damaged_is_left_out(damage):
    assert failures.said(PREDICTIONS | damage, LABELS, ["a", "b", "d", "c"]).networks == ["a", "c"]


def test_without_predictions_nobody_has_said_anything():
    assert failures.said({}, LABELS, ["a"]).networks == []
