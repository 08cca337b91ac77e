import numpy as np
import pytest

import atelier
from atelier import MODELS
from atelier.data import mnist
from atelier.explain.evidence import Evidence, evidence, picture

IMAGES, LABELS = mnist.load("val")
INK = np.pad(IMAGES[0] > 0, 4)


@pytest.mark.parametrize("name", MODELS)
def test_evidence_lies_on_and_around_the_ink(name):
    seen = evidence(atelier.load(name, "cpu"), IMAGES[0], int(LABELS[0]))
    assert seen.heat.shape == (28, 28)
    assert seen.heat.min() >= 0
    assert seen.heat.max() == pytest.approx(1)
    near = np.max([np.roll(INK, (y, x), (0, 1)) for y in range(-4, 5) for x in range(-4, 5)], axis=0)[4:-4, 4:-4]
    assert seen.heat[near].mean() > seen.heat[~near].mean()


def test_the_detectors_box_is_that_of_the_digit():
    seen = evidence(atelier.load("faster_rcnn", "cpu"), IMAGES[0], int(LABELS[0]))
    rows, columns = np.flatnonzero(IMAGES[0].max(1)), np.flatnonzero(IMAGES[0].max(0))
    assert seen.box == pytest.approx((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), abs=2)


def test_the_picture_shows_ink_heat_and_box():
    digit, heat = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.float32)
    digit[0, 0], heat[27, 27] = 255, 1
    drawn = picture(digit, Evidence(heat, "", box=(10, 10, 20, 20)), "#ff8000")
    assert drawn.shape == (224, 224, 3)
    assert drawn[4, 4].tolist() == [255, 255, 255]  # ink is white
    assert drawn[-4, -4].tolist() == [122, 61, 0]  # 0.8 * 0.6 of the colour
    assert drawn[80, 120].tolist() == [255, 255, 255]  # the box's upper side
    assert drawn[120, 120].tolist() == [0, 0, 0]
