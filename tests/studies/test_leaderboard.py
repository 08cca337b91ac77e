"""Leaderboard: values calculated by hand or by another library, and findings that follow the numbers."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from atelier.bench import speed
from atelier.data import mnist
from atelier.studies.leaderboard import COLUMNS, STUDY, title
from atelier.zoo import MODELS
from tests.support.made_results import leaderboard


def measure(**point):
    """The row of the CNN where there are 400 test digits."""
    images, labels = mnist.load("test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "load", lambda split: (images[:400], labels[:400]))
        patch.setattr(speed, "peak_memory", lambda file, device: 300.0)  # takes a process of its own
        (row,) = [row for row in STUDY.measure({"network": "cnn", **point}, "cpu") if row is not None]
    return row


@pytest.fixture(scope="module")
def row():
    return measure()


def test_row_has_every_column_and_predictions_of_three_bytes_a_digit(row):
    assert ["network", *row] == [*COLUMNS, "guess", "confidence"]
    assert (row["kind"], row["model"]) == ("shipped", "cnn")
    assert row["wilson_low"] < row["accuracy"] < row["wilson_high"] or row["accuracy"] == 1
    assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"]
    assert row["throughput_per_second"] > 0
    assert (row["guess"].dtype, row["confidence"].dtype) == (np.uint8, np.float16)
    assert len(row["guess"]) == len(row["confidence"]) == 400


def test_accuracy_and_f1_are_those_of_scikit_learn(row):
    labels = mnist.load("test")[1][:400]
    assert row["accuracy"] == pytest.approx(accuracy_score(labels, row["guess"]), abs=1e-6)
    assert row["macro_f1"] == pytest.approx(f1_score(labels, row["guess"], average="macro"), abs=1e-6)


def test_quick_version_reads_fewer_digits_and_stores_no_predictions(row):
    quick = measure(digits=100)
    assert ["network", *quick] == list(COLUMNS)
    assert quick["wilson_high"] - quick["wilson_low"] > row["wilson_high"] - row["wilson_low"]
    assert [point["digits"] for point in STUDY.points(quick=True)] == [2_000] * len(MODELS)


def test_parameters_and_multiply_adds_are_those_calculated_by_hand(row):
    filters = [16 * 1 * 5 * 5, 32 * 16 * 3 * 3, 64 * 32 * 3 * 3, 128 * 64 * 3 * 3]
    norms = 2 * (16 + 32 + 64 + 128)
    assert row["parameters"] == sum(filters) + norms + 1_152 * 128 + 128 + 128 * 10 + 10
    assert row["trained_parameters"] == row["parameters"]
    places = [24 * 24, 12 * 12, 12 * 12, 6 * 6]
    assert row["multiply_adds"] == np.dot(filters, places) + 1_152 * 128 + 128 * 10
    assert row["megabytes"] == pytest.approx(MODELS["cnn"].checkpoint.stat().st_size / 1e6)


@pytest.mark.parametrize(("wrong", "best"), [({"cnn": 37, "vgg16": 60}, "cnn"), ({"cnn": 60, "vgg16": 37}, "vgg16")])
def test_findings_follow_the_numbers(wrong, best):
    assert STUDY.findings(leaderboard(wrong).table).answer == best


def test_single_run_gives_no_answer_and_has_the_name_of_its_column_title():
    table = leaderboard({"20260101-000000-cnn-abcd": 50}, kind="run", model="cnn").table
    assert STUDY.findings(table).answer is None
    assert "20260101-000000-cnn-abcd" in title(table.loc[0])
    named = table.assign(title="Lisa <3")
    assert title(named.loc[0]) == "Lisa <3"
    assert list(STUDY.figure(named).layout.yaxis.ticktext) == ["Lisa &lt;3"]
