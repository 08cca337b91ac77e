"""Failures of three networks on six digits, by hand."""

import numpy as np
import pytest

from atelier.evaluation import failures, tables

LABELS = np.array([0, 1, 2, 3, 4, 4])
PREDICTED = {"a": [0, 1, 2, 3, 9, 4], "b": [0, 7, 2, 8, 9, 4], "c": [0, 7, 5, 3, 9, 4]}
CONFIDENCE = {
    "a": [0.9, 0.8, 0.7, 0.6, 0.5, 1.0],
    "b": [0.8, 0.7, 0.9, 0.4, 0.6, 0.9],
    "c": [0.7, 0.9, 0.3, 0.8, 0.9, 0.2],
}
ARRAYS = {f"{network}_guess": np.array(digits, np.uint8) for network, digits in PREDICTED.items()} | {
    f"{network}_confidence": np.array(values, np.float16) for network, values in CONFIDENCE.items()
}


@pytest.fixture
def predictions():
    return failures.load_predictions(ARRAYS, LABELS, ["a", "b", "c"])


def test_confusion_matrix_has_true_digits_in_rows_and_predictions_in_columns(predictions):
    matrix = failures.confusion_matrix(predictions, "b")
    cells = {(0, 0), (1, 7), (2, 2), (3, 8), (4, 4), (4, 9)}
    assert matrix.sum() == 6
    assert {tuple(cell) for cell in np.argwhere(matrix == 1).tolist()} == cells


def test_cell_of_the_confusion_matrix_has_its_digits(predictions):
    assert failures.predicted_as(predictions, "b", true=1, predicted=7).tolist() == [1]
    assert failures.predicted_as(predictions, "a", true=7, predicted=1).tolist() == []


def test_digits_are_counted_by_how_many_networks_are_correct(predictions):
    assert failures.count_correct(predictions).tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("count", "digits"),
    [
        (0, [4]),
        (1, [1]),
        (2, [3, 2]),  # mistakes with 40% and 30% confidence
        (3, [5, 0]),  # the lowest confidence is 20% and 70%
    ],
)
def test_confident_mistakes_and_unsure_correct_answers_come_first(predictions, count, digits):
    assert failures.correct_by(predictions, count).tolist() == digits


@pytest.mark.parametrize(
    ("first", "second", "digits"),
    [("a", "b", [1, 3]), ("b", "a", []), ("a", "c", [1, 2])],  # b: 70% and 40%; c: 90% and 30%
)
def test_digits_that_only_the_first_gets_right_are_sorted_by_the_confidence_of_the_second(
    predictions, first, second, digits
):
    assert failures.only_first_correct(predictions, first, second).tolist() == digits


def test_selection_keeps_only_its_networks(predictions):
    assert failures.count_correct(predictions.select(["a", "c"])).tolist() == [1, 2, 3]


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
def test_network_with_damaged_or_missing_predictions_is_left_out(damage):
    assert failures.load_predictions(ARRAYS | damage, LABELS, ["a", "b", "d", "c"]).networks == ["a", "c"]
    assert failures.load_predictions({}, LABELS, ["a"]).networks == []


# Tables --------------------------------------------------------------------------------------------------------------


def test_confusions_have_a_row_for_each_network_true_digit_and_prediction(predictions):
    table = tables.confusions(predictions)
    assert len(table) == 3 * 10 * 10
    cells = table[(table.network == "b") & (table["count"] > 0)]
    assert (4, 9, 1) in zip(cells.true_digit, cells.predicted_digit, cells["count"], strict=True)
    assert len(cells) == 6


def test_reliability_has_the_bins_of_each_network(predictions):
    table = tables.reliability(predictions)
    assert list(table.network.unique()) == ["a", "b", "c"]
    assert table.groupby("network").digits.sum().tolist() == [6, 6, 6]


def test_agreement_counts_digits_by_the_number_of_correct_networks(predictions):
    assert tables.agreement(predictions).values.tolist() == [[0, 1], [1, 1], [2, 2], [3, 2]]


def test_misread_digits_come_with_all_answers_and_the_hardest_first(predictions):
    table = tables.misread(predictions)
    assert table.test_digit.tolist() == [4, 1, 3, 2]
    assert table.true_digit.tolist() == [4, 1, 3, 2]
    assert table.networks_correct.tolist() == [0, 1, 2, 2]
    assert table.c_guess.tolist() == [9, 7, 3, 5]
    assert table.a_confidence.tolist() == pytest.approx([0.5, 0.8, 0.6, 0.7], abs=1e-3)


def test_each_pair_of_networks_is_tested(predictions):
    table = tables.pairs(predictions)
    assert [(row.first, row.second) for row in table.itertuples()] == [("a", "b"), ("a", "c"), ("b", "c")]
    # Only a gets digits 1 and 3 right, only b none. Two tosses fall on one side with probability 2 / 4.
    first = table.iloc[0]
    assert (first.only_first_correct, first.only_second_correct, first.digits, first.p) == (2, 0, 6, 0.5)
    assert not first.significant
