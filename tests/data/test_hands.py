"""The pen strokes come from many hands, all different."""

import json
from collections import Counter

import numpy as np
import pytest

from atelier.data import drawing, hands

DRAWINGS = json.loads(hands.STROKES.read_text())


def test_each_of_24_hands_draws_each_digit_once():
    assert Counter((d["hand"], d["label"]) for d in DRAWINGS) == Counter(
        (hand, digit) for hand in {d["hand"] for d in DRAWINGS} for digit in range(10)
    )
    assert len(DRAWINGS) == 240


@pytest.mark.parametrize("digit", range(10))
def test_hands_have_different_shapes(digit):
    """At least five shapes of each digit differ even with one pen, in one place, at one size."""
    images = [
        drawing.normalise(drawing.rasterise(drawing.from_polylines(d["strokes"], 26))).astype(float).ravel()
        for d in DRAWINGS
        if d["label"] == digit
    ]
    similarity = np.corrcoef(images)
    different = [i for i in range(len(images)) if not (similarity[i, :i] > 0.95).any()]
    assert len(different) >= 5


def test_strokes_lie_on_the_canvas_without_objection():
    for d in DRAWINGS:
        points = np.array([point for line in d["strokes"] for point in line])
        assert points.min() >= 0
        assert points.max() <= drawing.CANVAS
        picture = drawing.rasterise(drawing.from_polylines(d["strokes"], d["width"]))
        assert drawing.objection(picture, d["width"]) is None


def test_small_digits_are_enlarged_and_centred():
    images, labels = hands.small_digits()
    assert images.shape == (1797, 28, 28)
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # from scikit-learn's documentation
    assert np.bincount(labels).tolist() == counts
    rows = images.max(axis=2) > 0
    assert (rows.sum(axis=1) <= 20).all()
