import numpy as np
import pytest
from scipy import ndimage

import atelier
from atelier import MODELS
from atelier.data import mnist
from atelier.explain.evidence import Evidence, evidence, picture

IMAGES, LABELS = mnist.load("val")
FOUR = range(4)  # digits: now and then, what is missing speaks louder than the ink


@pytest.mark.parametrize("name", MODELS)
def test_evidence_lies_on_and_around_the_ink(name):
    classifier = atelier.load(name, "cpu")
    heats = [evidence(classifier, IMAGES[i], int(LABELS[i])).heat for i in FOUR]
    for heat in heats:
        assert heat.shape == (28, 28)
        assert heat.min() >= 0
        assert heat.max() == pytest.approx(1)
    near = [ndimage.binary_dilation(IMAGES[i] > 0, np.ones((9, 9))) for i in FOUR]
    on = [heat[place].mean() for heat, place in zip(heats, near, strict=True)]
    off = [heat[~place].mean() for heat, place in zip(heats, near, strict=True)]
    assert np.mean(on) > np.mean(off)


def test_the_detectors_box_is_that_of_the_digit():
    seen = evidence(atelier.load("faster_rcnn", "cpu"), IMAGES[0], int(LABELS[0]))
    rows, columns = np.flatnonzero(IMAGES[0].max(1)), np.flatnonzero(IMAGES[0].max(0))
    assert seen.box == pytest.approx((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), abs=2)


def test_the_picture_shows_ink_heat_and_box():
    digit, heat = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.float32)
    digit[0, 0], digit[27, 0], heat[27, 0], heat[27, 27] = 255, 255, 1, 1
    drawn = picture(digit, Evidence(heat, "", box=(10, 10, 20, 20)), "#ff8000")
    assert drawn.shape == (224, 224, 3)
    assert drawn[4, 4].tolist() == [170, 170, 170]  # ink that says nothing is grey
    assert drawn[-4, 4].tolist() == [255, 128, 0]  # what says all has the colour
    assert drawn[-4, -4].tolist() == [127, 64, 0]  # and half of it where there is no ink
    assert drawn[80, 120].tolist() == [255, 255, 255]  # the box's upper side
    assert drawn[120, 120].tolist() == [0, 0, 0]
