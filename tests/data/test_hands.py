"""The pen strokes must be what README says: many hands, none like another."""

import json
from collections import Counter

import numpy as np
import pytest

from atelier.data import drawing, hands

DRAWINGS = json.loads(hands.STROKES.read_text())


@pytest.mark.parametrize("digit", range(10))
def test_every_digit_is_drawn_by_at_least_twenty_hands(digit):
    assert len({d["hand"] for d in DRAWINGS if d["label"] == digit}) >= 20


def test_every_hand_draws_every_digit():
    assert set(Counter(d["hand"] for d in DRAWINGS).values()) == {10}


@pytest.mark.parametrize("digit", range(10))
def test_no_hand_is_another_one_shifted_or_jittered(digit):
    """At least five skeletons a digit stay apart even when drawn with one pen, in one place, at one size."""
    images = [
        drawing.normalise(drawing.rasterise(drawing.from_polylines(d["strokes"], 26))).astype(float).ravel()
        for d in DRAWINGS
        if d["label"] == digit
    ]
    likeness = np.corrcoef(images)
    different = [i for i in range(len(images)) if not (likeness[i, :i] > 0.95).any()]
    assert len(different) >= 5


def test_all_ink_lies_on_the_canvas_and_none_is_objected_to():
    for d in DRAWINGS:
        points = np.array([point for line in d["strokes"] for point in line])
        assert points.min() >= 0
        assert points.max() <= drawing.CANVAS
        picture = drawing.rasterise(drawing.from_polylines(d["strokes"], d["width"]))
        assert drawing.objection(picture, d["width"]) is None


def test_small_digits_are_enlarged_and_centred():
    images, labels = hands.small_digits()
    assert images.shape == (1797, 28, 28)
    assert np.bincount(labels).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]  # as scikit-learn documents
    rows = images.max(axis=2) > 0
    assert (rows.sum(axis=1) <= 20).all()
