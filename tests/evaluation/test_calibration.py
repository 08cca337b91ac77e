import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from atelier.evaluation.calibration import calibration_error, reliability


def test_five_answers_as_calculated_by_hand():
    confidence, right = [0.9, 0.95, 0.85, 0.3, 0.25], [True, True, False, False, True]
    table = reliability(confidence, right, bins=2)
    assert table.digits.tolist() == [2, 3]
    assert table.confidence.tolist() == pytest.approx([0.275, 0.9])
    assert table.accuracy.tolist() == pytest.approx([1 / 2, 2 / 3])
    assert calibration_error(confidence, right, bins=2) == pytest.approx((2 * 0.225 + 3 * (0.9 - 2 / 3)) / 5)


def test_the_example_in_the_documentation_of_torchmetrics():
    """Of `multiclass_calibration_error` with three bins and norm "l1", which gives tensor(0.2000):
    https://lightning.ai/docs/torchmetrics/stable/classification/calibration_error.html"""
    probabilities = np.array([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
    right = probabilities.argmax(1) == [0, 1, 2, 0]
    assert calibration_error(probabilities.max(1), right, bins=3) == pytest.approx(0.2, abs=5e-5)


def test_agrees_with_torchmetrics_on_random_answers():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.2), size=2_000)
    labels = rng.integers(0, 10, 2_000)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 10, n_bins=15, norm="l1")
    ours = calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
    assert ours == pytest.approx(theirs.item(), abs=1e-6)


def test_an_upper_bound_belongs_to_its_bin_as_in_the_paper():
    assert reliability([0.5, 0.0, 1.0], [True] * 3, bins=2).digits.tolist() == [2, 1]


def test_a_network_that_knows_how_sure_it_may_be_has_no_error():
    right = np.arange(1_000) % 10 < 9
    assert calibration_error(np.full(1_000, 0.9), right) == pytest.approx(0)
    assert calibration_error(np.full(1_000, 1.0), right) == pytest.approx(0.1)


def test_empty_bins_are_shown_as_unknown():
    table = reliability([0.99], [True])
    assert len(table) == 15
    assert table.accuracy.isna().sum() == 14
    assert np.isnan(calibration_error([], []))
