"""Strokes to pixels, checked by hand; MNIST's own digits check the normalisation."""

import math

import numpy as np
import pytest

from atelier.data import drawing, mnist


def stroke(path, **placement):
    return {"objects": [{"type": "path", "strokeWidth": 20, "path": path, **placement}]}


LINE = [["M", 100, 100], ["L", 300, 100]]


def ink(json_data, **size):
    return drawing.rasterise(json_data, **size) / 255


# rasterise: areas and centres by hand --------------------------------------------------------------------------------


def test_line_is_a_bar_with_round_ends():
    picture = ink(stroke(LINE))
    assert picture.sum() == pytest.approx(200 * 20 + math.pi * 10**2, rel=0.01)
    assert picture[100, 200] == 1
    assert picture[:, 200].sum() == pytest.approx(20, abs=0.3)  # as thick as the pen
    assert picture[100, :].sum() == pytest.approx(220, abs=0.5)  # as long as the line and the pen


def test_click_is_a_round_dot():
    picture = ink(stroke([["M", 50, 60], ["L", 50, 60]]))
    assert picture.sum() == pytest.approx(math.pi * 10**2, rel=0.02)
    assert picture[60, 50] == 1


def test_curve_bends_towards_its_control_point():
    picture = ink(stroke([["M", 100, 200], ["Q", 200, 100, 300, 200]]))
    assert picture[150, 200] == 1  # a quadratic curve passes halfway to its control point
    assert picture[200, 200] == 0


@pytest.mark.parametrize("blank", [None, {}, {"objects": []}, {"objects": [{"type": "rect", "width": 9}]}])
def test_drawing_without_strokes_is_blank(blank):
    picture = drawing.rasterise(blank, 30, 40)
    assert (picture.shape, picture.dtype, picture.max()) == ((30, 40), np.uint8, 0)


def test_strokes_are_clipped_at_the_canvas():
    assert ink(stroke([["M", -500, 100], ["L", 5000, 100]])).sum() == pytest.approx(440 * 20, rel=0.01)


PLACEMENTS = {
    "moved": ({"left": 220, "top": 320}, (320, 220), (20, 220)),
    "turned": ({"left": 200, "top": 200, "angle": 90}, (200, 200), (220, 20)),
    "scaled with its pen": ({"left": 200, "top": 100, "scaleX": 0.5, "scaleY": 2}, (100, 200), (40, 110)),
    "flipped": ({"left": 200, "top": 100, "flipX": True}, (100, 200), (20, 220)),
    "placed by its corner": ({"left": 90, "top": 190, "originX": "left", "originY": "top"}, (200, 200), (20, 220)),
}


@pytest.mark.parametrize("name", PLACEMENTS)
def test_moved_stroke_is_drawn_at_its_new_place(name):
    placement, centre, (height, width) = PLACEMENTS[name]
    rows, columns = np.nonzero(ink(stroke(LINE, **{"originX": "center", "originY": "center", **placement})) > 0.5)
    assert np.array([rows.mean(), columns.mean()]) == pytest.approx(np.array(centre) - 0.5, abs=0.6)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == pytest.approx((height, width), abs=1)


def test_skewed_stroke_leans():
    upright = [["M", 200, 100], ["L", 200, 300]]
    placed = {"left": 200, "top": 200, "originX": "center", "originY": "center", "skewX": 45}
    picture = ink(stroke(upright, **placed))
    assert picture[110, 110] > 0.9  # at 45 degrees, the top moves left by its height above the centre
    assert picture[290, 290] > 0.9


def test_polylines_are_restored_from_the_canvas_json():
    lines = [[[10.0, 20.0], [30.0, 40.0], [50.0, 45.5]], [[100.0, 100.0], [101.0, 100.0]]]
    assert drawing.to_polylines(drawing.from_polylines(lines)) == lines


# normalise: MNIST's own digits are the golden values ------------------------------------------------------------------


def test_mnist_digits_are_restored_from_a_large_canvas():
    """A digit enlarged ten times in a corner is normalised to MNIST's own pixels."""
    images, same = mnist.load("test")[0][:300], 0
    for image in images:
        canvas = np.zeros((440, 500), np.uint8)
        canvas[150:430, 3:283] = np.kron(image, np.ones((10, 10), np.uint8))
        same += np.abs(drawing.normalise(canvas).astype(int) - image).max() <= 3
    assert same >= 0.95 * len(images)


@pytest.mark.parametrize(("height", "width"), [(400, 40), (40, 400), (300, 300), (9, 5), (1, 1)])
def test_longer_side_becomes_20_pixels(height, width):
    canvas = np.zeros((440, 440), np.uint8)
    canvas[20 : 20 + height, 10 : 10 + width] = 200
    rows, columns = np.nonzero(drawing.normalise(canvas))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert rows.mean() == pytest.approx(14, abs=0.5)
    assert columns.mean() == pytest.approx(14, abs=0.5)


def test_centre_of_mass_is_centred_and_a_faint_drawing_becomes_bright():
    canvas = np.zeros((440, 440), np.uint8)
    canvas[100:300, 100:300] = 40
    canvas[200:300, 100:300] = 100  # heavier below
    digit = drawing.normalise(canvas).astype(float)
    assert (digit.sum(1) @ np.arange(28)) / digit.sum() == pytest.approx(14, abs=0.5)  # as in MNIST's files
    assert digit.max() == 255


@pytest.mark.parametrize(
    "blank", [np.zeros((440, 440), np.uint8), np.zeros((0, 0), np.uint8), np.full((9, 9), 3, np.uint8)]
)
def test_blank_picture_gives_none(blank):
    assert drawing.normalise(blank) is None


# objection ------------------------------------------------------------------------------------------------------------


def test_only_dots_and_scribbles_have_an_objection():
    def objection(*lines):
        return drawing.objection(drawing.rasterise(drawing.from_polylines(list(lines))))

    dot, scribble = objection([[200, 200]]), objection([[20 + 20 * i, 10 if i % 2 else 430] for i in range(21)])
    assert dot
    assert scribble
    assert dot != scribble
    assert objection() is None
    assert objection([[220, 60], [220, 380]]) is None
