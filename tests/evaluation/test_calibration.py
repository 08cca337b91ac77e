import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from atelier.evaluation.calibration import calibration_error, reliability


def test_five_answers_by_hand():
    confidence, correct = [0.9, 0.95, 0.85, 0.3, 0.25], [True, True, False, False, True]
    table = reliability(confidence, correct, bins=2)
    assert table.digits.tolist() == [2, 3]
    assert table.confidence.tolist() == pytest.approx([0.275, 0.9])
    assert table.accuracy.tolist() == pytest.approx([1 / 2, 2 / 3])
    assert calibration_error(confidence, correct, bins=2) == pytest.approx((2 * 0.225 + 3 * (0.9 - 2 / 3)) / 5)


def test_calibration_error_is_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.2), size=2_000)
    labels = rng.integers(0, 10, 2_000)
    expected = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 10, n_bins=15, norm="l1")
    error = calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
    assert error == pytest.approx(expected.item(), abs=1e-6)


def test_upper_bound_belongs_to_its_bin_as_in_the_paper():
    assert reliability([0.5, 0.0, 1.0], [True] * 3, bins=2).digits.tolist() == [2, 1]


def test_empty_bins_have_no_means():
    table = reliability([0.99], [True])
    assert len(table) == 15
    assert table.accuracy.isna().sum() == 14
    assert np.isnan(calibration_error([], []))
