"""Corruptions against arithmetic by hand."""

import numpy as np
import pytest
from scipy import ndimage

from atelier.data import mnist
from atelier.evaluation.corruptions import CORRUPTIONS, corrupt

SEVEN = mnist.load("test")[0][0]


def spot(row: int, column: int) -> np.ndarray:
    digit = np.zeros((28, 28), np.uint8)
    digit[row, column] = 255
    return digit


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_amount_zero_changes_nothing_and_the_original_is_never_modified(corruption):
    before = SEVEN.copy()
    assert np.array_equal(corrupt(SEVEN, corruption, 0, seed=3), SEVEN)
    changed = corrupt(SEVEN, corruption, {"rotation": 45, "shift": 4, "occlusion": 10}.get(corruption, 0.5), seed=3)
    assert (changed.shape, changed.dtype) == ((28, 28), np.uint8)
    assert not np.array_equal(changed, SEVEN)
    assert np.array_equal(SEVEN, before)


@pytest.mark.parametrize(
    ("corruption", "amount"), [("shift", 4), ("rotation", 45), ("noise", 0.4), ("occlusion", 10), ("blur", 2)]
)
def test_the_seed_alone_decides_direction_and_pattern(corruption, amount):
    changed = [corrupt(SEVEN, corruption, amount, seed) for seed in (0, 0, *range(1, 10))]
    assert np.array_equal(changed[0], changed[1])
    different = {digit.tobytes() for digit in changed}
    assert len(different) == {"blur": 1, "rotation": 2}.get(corruption, 10)


def test_shift_has_its_length_and_keeps_its_direction():
    start = np.array([14, 14])
    for seed in range(5):
        little, more = (
            ndimage.center_of_mass(corrupt(spot(14, 14), "shift", amount, seed)) - start for amount in (4, 8)
        )
        assert np.hypot(*little) == pytest.approx(4, abs=0.05)
        assert more == pytest.approx(2 * little, abs=0.05)


def test_quarter_turn_is_exact():
    turned = corrupt(SEVEN, "rotation", 90, seed=0)
    assert any(np.array_equal(turned, np.rot90(SEVEN, way)) for way in (-1, 1))


@pytest.mark.parametrize(
    ("change", "first", "last"), [("smaller", 9, 18), ("larger", 0, 27)], ids=["half as large", "half as large again"]
)
def test_size_changes_about_the_centre(change, first, last):
    square = np.zeros((28, 28), np.uint8)
    square[4:24, 4:24] = 255
    rows, columns = np.nonzero(corrupt(square, change, 0.5, seed=0) > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (first, last, first, last)


def test_stroke_grows_and_shrinks_equally_on_each_side():
    assert (corrupt(spot(14, 14), "thicker", 2, seed=0) == 255).sum(axis=0).max() == 5
    line = np.zeros((28, 28), np.uint8)
    line[10:15] = 255  # five pixels high
    assert (corrupt(line, "thinner", 2, seed=0) == 255).sum(axis=0).tolist() == [1] * 28


def test_blur_is_gaussian():
    blurred = corrupt(spot(14, 14), "blur", 1, seed=0)
    assert blurred[14, 14] == round(255 / (2 * np.pi))
    assert blurred[14, 15] == round(255 / (2 * np.pi) * np.exp(-0.5))


def test_noise_has_its_standard_deviation():
    grey = np.full((28, 28), 128, np.uint8)
    assert corrupt(grey, "noise", 0.1, seed=0).std() == pytest.approx(25.5, rel=0.1)


def test_occlusion_is_a_square_that_grows_in_place():
    ink = np.full((28, 28), 255, np.uint8)
    for seed in range(5):
        covered = [corrupt(ink, "occlusion", side, seed) == 0 for side in (4, 8)]
        assert covered[0].sum() == 16
        assert (covered[0] <= covered[1]).all()


def test_inversion_is_grey_half_way_and_ends_in_the_negative():
    assert np.array_equal(corrupt(SEVEN, "inversion", 1, seed=0), 255 - SEVEN)
    assert np.ptp(corrupt(SEVEN, "inversion", 0.5, seed=0)) == 0
