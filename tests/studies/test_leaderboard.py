import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from atelier.bench import speed
from atelier.data import mnist
from atelier.studies import leaderboard
from atelier.studies.leaderboard import STUDY
from atelier.zoo import MODELS


def table(**misread):
    """Networks by how many test digits each misreads; every next one is twice as large."""
    rows = []
    for number, (name, wrong) in enumerate(misread.items()):
        accuracy = 1 - wrong / 10_000
        row = {"network": name, "kind": "shipped", "model": name, "accuracy": accuracy, "parameters": 1_000 * 2**number}
        rows.append(row | {"wilson_low": accuracy - 0.001, "wilson_high": accuracy + 0.001})
    return pd.DataFrame(rows)


def measured(**point):
    """What is measured of the CNN, where there are 400 test digits."""
    images, labels = mnist.load("test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "load", lambda split: (images[:400], labels[:400]))
        patch.setattr(speed, "peak_memory", lambda file, device: 300.0)  # takes a process of its own
        rows = [row for row in STUDY.measure({"network": "cnn", **point}, "cpu") if row is not None]
    assert len(rows) == 1
    return rows[0]


@pytest.fixture(scope="module")
def row():
    return measured()


def test_a_network_gets_every_column_that_the_table_promises(row):
    promised = (
        "kind model accuracy wilson_low wilson_high macro_f1 log_loss calibration_error parameters trained_parameters "
        "multiply_adds megabytes training_seconds training_device latency_p50_ms latency_p95_ms throughput_per_second "
        "peak_memory_mb guess confidence"
    )
    assert list(row) == promised.split()
    assert (row["kind"], row["model"]) == ("shipped", "cnn")
    assert row["wilson_low"] < row["accuracy"] < row["wilson_high"] or row["accuracy"] == 1
    assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"]
    assert row["throughput_per_second"] > 0


def test_accuracy_and_f1_are_those_of_scikit_learn(row):
    labels = mnist.load("test")[1][:400]
    assert row["accuracy"] == pytest.approx(accuracy_score(labels, row["guess"]), abs=1e-6)
    assert row["macro_f1"] == pytest.approx(f1_score(labels, row["guess"], average="macro"), abs=1e-6)


def test_answers_are_kept_in_three_bytes_a_digit(row):
    assert (row["guess"].dtype, row["confidence"].dtype) == (np.uint8, np.float16)
    assert row["guess"].nbytes + row["confidence"].nbytes == 3 * 400


def test_the_quick_version_reads_fewer_digits_and_keeps_no_answers(row):
    quick = measured(digits=100)
    assert list(quick) == [column for column in row if column not in ("guess", "confidence")]
    assert quick["wilson_high"] - quick["wilson_low"] > row["wilson_high"] - row["wilson_low"]
    assert [point["digits"] for point in STUDY.points(quick=True)] == [2_000] * len(MODELS)


def test_weights_and_work_are_those_calculated_by_hand(row):
    filters = [16 * 1 * 5 * 5, 32 * 16 * 3 * 3, 64 * 32 * 3 * 3, 128 * 64 * 3 * 3]
    norms = 2 * (16 + 32 + 64 + 128)
    assert row["parameters"] == sum(filters) + norms + 1_152 * 128 + 128 + 128 * 10 + 10
    assert row["trained_parameters"] == row["parameters"]
    places = [24 * 24, 12 * 12, 12 * 12, 6 * 6]
    assert row["multiply_adds"] == np.dot(filters, places) + 1_152 * 128 + 128 * 10
    assert row["megabytes"] == pytest.approx(MODELS["cnn"].checkpoint.stat().st_size / 1e6)


def test_the_sentences_follow_the_numbers():
    assert STUDY.findings(table(cnn=37, vgg16=60)).sentences == (
        "The CNN misreads the fewest test digits: 0.37%.",
        "The VGG16 has 2 times as many weights and misreads 0.60%.",
    )
    swapped = STUDY.findings(table(cnn=60, vgg16=37))
    assert STUDY.answers[swapped.right] == "VGG16"
    assert swapped.sentences[0] == "The VGG16 misreads the fewest test digits: 0.37%."
    assert swapped.sentences[1] == "It is also the largest here, with 2,000 weights."


@pytest.mark.parametrize("names", [("vit",), ("alexnet", "cnn"), tuple(MODELS)])
def test_any_part_of_the_table_has_findings_and_a_figure(names):
    part = table(**dict.fromkeys(names, 40))
    assert all(STUDY.findings(part).sentences)
    assert len(STUDY.figure(part).data) == len(names)


def test_an_own_run_is_called_by_its_id():
    part = table(cnn=50).assign(kind="run", network="20260101-000000-cnn-abcd")
    findings = STUDY.findings(part)
    assert findings.right is None  # for it is alone
    assert "CNN of run 20260101-000000-cnn-abcd misreads" in findings.sentences[0]
    assert leaderboard.title(part.loc[0]) == "CNN of run 20260101-000000-cnn-abcd"
