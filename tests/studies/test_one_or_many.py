"""One digit or many: scenes with a given overlap, and findings that follow the numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest

from atelier.classifier import Detections
from atelier.data import scenes
from atelier.studies import trial
from atelier.studies.one_or_many import OVERLAPS, STUDY, in_a_row, numbered, touching
from atelier.zoo import MODELS


def table(one=(0.98, 0.98), apart=(0.95, 0.94), touching=(0.6, 0.9), over=(0.1, 0.8), scenes=200):
    """Reading accuracies of the CNN on pieces and of Faster R-CNN, which takes three times as long."""
    kinds = [(1, -0.25, one)] + [
        (k, overlap, read) for k in (2, 3) for overlap, read in ((-0.25, apart), (0.0, touching), (0.2, over))
    ]
    return pd.DataFrame(
        {
            "network": network,
            "digits": digits,
            "overlap": overlap,
            "scenes": scenes,
            "reading_accuracy": read,
            "milliseconds": ms * digits,
        }
        for digits, overlap, both in kinds
        for network, read, ms in zip(("cnn", "faster_rcnn"), both, (2.0, 6.0), strict=True)
    )


TABLE = table()


# Scenes --------------------------------------------------------------------------------------------------------------


def bars(count: int) -> np.ndarray:
    """Upright bars, four times as high as wide: 16 pixels wide when they are 64 high."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 4:24, 10:15] = 255
    return images


@pytest.mark.parametrize(("overlap", "step"), [(-0.25, 20), (0.0, 16), (0.5, 8)])
def test_neighbours_overlap_by_a_share_of_their_width(overlap, step):
    scene = in_a_row(bars(3), np.array([1, 2, 3]), overlap)
    left, top, right, bottom = scene.boxes.T
    assert (right - left).tolist() == [16] * 3
    assert (bottom - top).tolist() == [64] * 3
    assert np.diff(left).tolist() == [step] * 2
    assert scene.reading == "123"
    rows, columns = np.nonzero(scene.picture > 127)
    assert (columns.min(), columns.max() + 1) == (left[0], right[-1])
    assert (rows.min(), rows.max() + 1) == (top[0], bottom[0])
    assert scene.picture.shape == (scenes.SHORT_SIDE, scenes.SHORT_SIDE)


def test_overlap_is_a_share_of_the_narrower_digit():
    images = bars(2)
    images[1] = 0
    images[1, 4:24, 4:24] = 255  # as wide as high
    left, _, right, _ = in_a_row(images, np.array([1, 0]), 0.5).boxes.T
    assert right[0] - left[1] == 8


def test_slanted_digits_are_moved_until_their_ink_touches():
    """Two strokes lean to the right: the foot of the second fits under the head of the first."""
    leaning = np.zeros((28, 28), np.uint8)
    for row in range(4, 24):
        leaning[row, 22 - row // 2 : 26 - row // 2] = 255
    scene = in_a_row(np.stack([leaning, leaning]), np.array([1, 1]), 0.0)
    left, _, right, _ = scene.boxes.T
    assert left[1] < right[0] - 16  # boxes that overlap
    assert len(scenes.pieces(scene.picture)) == 1
    apart = in_a_row(np.stack([leaning, leaning]), np.array([1, 1]), -0.03)
    assert len(scenes.pieces(apart.picture)) == 2


def test_corners_that_meet_touch_and_rows_without_ink_do_not():
    before, after = np.zeros((6, 5), np.uint8), np.zeros((6, 5), np.uint8)
    before[0, :3] = after[1, 1:] = 255
    assert touching(before, after) == 2  # column 2 of a row, and column 1 + 2 of the next
    after[1], after[3, 1:] = 0, 255
    assert touching(before, after) < -5  # in no row at all


@pytest.mark.parametrize("digits", [2, 3])
def test_test_digits_touch_at_overlap_zero(digits):
    counts = [len(scenes.pieces(numbered(number, digits, 0.0).picture)) for number in range(60)]
    assert np.mean(np.array(counts) == 1) > 0.9  # otherwise one digit has two pieces itself


def test_scenes_hold_the_same_digits_with_every_overlap():
    for digits, number in itertools.product(range(1, 7), range(3)):
        rows = [numbered(number, digits, overlap) for overlap in OVERLAPS]
        assert len({scene.reading for scene in rows}) == 1
        for scene in rows:
            assert len(scene.reading) == digits
            assert scene.boxes.min() >= 0
            assert scene.boxes[:, 2].max() <= scene.picture.shape[1]
    assert numbered(0, 6, 0.0).reading != numbered(1, 6, 0.0).reading


# Measuring -----------------------------------------------------------------------------------------------------------


def test_points_pair_both_networks_and_one_digit_overlaps_nothing():
    points = pd.DataFrame(STUDY.points(False))
    assert points.groupby(["digits", "overlap"]).network.nunique().eq(2).all()
    assert set(points.digits) == set(range(1, 7))
    assert points[points.digits == 1].overlap.tolist() == [-0.25] * 2
    assert len(STUDY.points(True)) == len(points)


def test_number_counts_if_every_digit_is_correct(monkeypatch):
    class Reader:
        """Reads the first two numbers correctly, then misses a digit."""

        count = 0

        def detect(self, picture, threshold):
            scene = numbered(self.count, 3, -0.25)
            assert np.array_equal(picture, scene.picture)
            self.count += 1
            kept = 3 if self.count <= 2 else 2
            return Detections(scene.boxes[:kept], scene.labels[:kept], np.ones(kept), np.ones((kept, 10)))

    monkeypatch.setattr(trial, "shipped", lambda name, device: reader)
    reader = Reader()
    point = {"network": "faster_rcnn", "digits": 3, "overlap": -0.25, "scenes": 8}
    *signs, row = STUDY.measure(point, "cpu")
    assert set(signs) == {None}
    assert row.items() >= point.items()
    assert row["reading_accuracy"] == 2 / 8
    assert row["milliseconds"] > 0


def test_cnn_reads_pieces():
    point = {"network": "cnn", "digits": 2, "overlap": -0.25, "scenes": 5}
    *_, row = STUDY.measure(point, "cpu")
    assert row["reading_accuracy"] >= 0.6


# Findings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        (TABLE, "touching"),
        (table(one=(0.8, 0.98)), "always"),
        (table(one=(0.9, 0.95), scenes=1000), "always"),  # exactly 5 points, although 0.9 + 0.05 > 0.95
        (table(one=(0.9, 0.95)), "touching"),  # with 200 scenes, 5 points may be chance
        (table(apart=(0.8, 0.94)), "several"),
        (table(touching=(0.9, 0.9)), "touching"),
        (table(touching=(0.9, 0.6), over=(0.8, 0.1)), "never"),
        (TABLE[TABLE.overlap < 0], None),  # touching digits have not been measured
        (TABLE[TABLE.network == "cnn"], None),
    ],
)
def test_detector_pays_where_it_reads_significantly_more(numbers, answer):
    assert STUDY.findings(numbers).answer == answer


def test_figure_shows_separate_digits_closer_digits_and_time():
    traces = [trace for trace in STUDY.figure(TABLE).data if trace.legendgroup == "faster_rcnn"]
    apart, closer, speed = traces
    assert list(apart.x) == [1, 2, 3]
    assert list(apart.y) == [0.98, 0.94, 0.94]
    assert list(closer.x) == ["apart", "touching", "20%"]
    assert list(closer.y) == pytest.approx([0.94, 0.9, 0.8])
    assert closer.customdata[1].tolist() == pytest.approx([0.8667, 0.9257, 400], abs=1e-4)  # Wilson, of 360 in 400
    assert list(speed.y) == [6, 12, 18]
    assert speed.line.color == MODELS["faster_rcnn"].colour
