"""The panels of a run show the numbers they are given, in the right place."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from atelier.figures import panels

BLUE = "#2E86D1"


@pytest.fixture
def digits():
    return np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)


def one_hot(*answers, share=0.91):
    """`float32[N, 10]`: this share for each answer, the rest spread over the others."""
    rows = [np.where(np.arange(10) == answer, share, (1 - share) / 9) for answer in answers]
    return np.stack(rows).astype(np.float32)


def pixels(figure):
    """The picture in a figure's first trace."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))))


def test_predictions_stand_below_the_digits_and_wrong_ones_are_framed(digits):
    figure = panels.predictions(digits, np.array([3, 1, 4, 1, 5, 9]), one_hot(3, 1, 4, 7, 5, 9), BLUE)
    _, _, bars, frames, texts, tooltips = figure.data
    assert list(texts.text) == [f"<b>{digit}</b> 91%" for digit in (3, 1, 4)] + [
        "✗ <b>7</b> 91%",
        "<b>5</b> 91%",
        "<b>9</b> 91%",
    ]
    assert {"1", "7"} <= set(tooltips.text[0][3].replace(",", " ").replace(":", " ").split())
    assert tooltips.customdata[1][1] == 5
    assert tooltips.text[1][2] == ""  # there is no seventh digit
    assert (bars.x[1] - bars.x[0]) == pytest.approx(0.91 * 28)
    assert len(frames.x) == 6  # four corners, the first again, and a gap
    picture, (x, y) = pixels(figure), (int(frames.x[0]) + 1, int(frames.y[0]) + 1)
    assert np.array_equal(picture[y : y + 28, x : x + 28, 0], digits[3])  # the frame is around the fourth
    assert texts.x[3] == x + 14


def test_a_sheet_has_the_same_traces_however_many_digits(digits):
    labels, probabilities = np.arange(6), one_hot(*range(6))
    few = panels.predictions(digits[:2], labels[:2], probabilities[:2], BLUE)
    assert len(few.data) == len(panels.predictions(digits, labels, probabilities, BLUE).data)
    assert len(panels.attention(digits, np.full((6, 7, 7), 1 / 49, np.float32), BLUE).data) == 2


@pytest.mark.parametrize("patches", [4, 7, 14])
def test_attention_covers_its_patch(digits, patches):
    attention = np.zeros((6, patches, patches), np.float32)
    attention[5, 1, 2] = 0.25
    figure = panels.attention(digits, attention, BLUE)
    overlay, side = figure.data[1], 28 // patches
    (row,), (column,) = np.nonzero(overlay.z == 25)  # percent
    assert list(overlay.customdata[row, column]) == [6, 2, 3]  # counted from 1
    left, top = (overlay.x0 + (column - 0.5) * overlay.dx, overlay.y0 + (row - 0.5) * overlay.dy)
    below = pixels(figure)[round(top) : round(top) + side, round(left) : round(left) + side, 0]
    assert np.array_equal(below, digits[5, side : 2 * side, 2 * side : 3 * side] // 2)


def test_boxes_carry_digit_and_confidence():
    scene, corners = np.zeros((40, 100), np.uint8), np.array([[10, 5, 30, 35], [50, 6, 80, 36]], np.float32)
    figure = panels.boxes(scene, corners, np.array([7, 2]), np.array([0.98, 0.5], np.float32), BLUE)
    assert [note.text for note in figure.layout.annotations] == ["<b>7</b>", "98%", "<b>2</b>", "50%"]
    assert (figure.layout.annotations[0].x, figure.layout.annotations[0].y) == (20, 5)
    box = figure.data[1]
    assert [(np.nanmin(part), np.nanmax(part)) for part in (box.x[:5], box.y[:5])] == [(10, 30), (5, 35)]
    assert pixels(figure).shape == scene.shape
    nothing = panels.boxes(scene, corners[:0], np.zeros(0, np.int64), np.zeros(0, np.float32), BLUE)
    assert len(nothing.layout.annotations) == 0


def test_confusion_prints_every_count_and_a_single_mistake_is_visible():
    matrix = 490 * np.eye(10, dtype=int)
    matrix[4, 9] = 1
    cells, light, dark = (figure := panels.confusion(matrix, BLUE)).data
    assert list(zip(light.x, light.y, light.text, strict=True)) == [(9, 4, 1)]
    assert list(dark.text) == [490] * 10
    assert list(dark.x) == list(dark.y) == list(range(10))
    assert (cells.text[4][9], cells.text[4][4]) == ("1 of 491", "490 of 491")
    assert np.isfinite(cells.z[4][9])
    assert np.isnan(cells.z[9][4])
    faintest = cells.colorscale[0][1]
    assert float(faintest.rstrip(")").split(",")[-1]) >= 0.2  # opacity
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # 0 on top


def test_filters_share_a_scale_around_zero():
    weights = np.linspace(-1, 3, 5 * 3 * 3, dtype=np.float32).reshape(5, 3, 3)
    cells = panels.filters(weights, BLUE).data[0]
    assert cells.zmin == -cells.zmax
    assert cells.zmax == pytest.approx(2.9, abs=0.1)
    assert np.array_equal(cells.z[4:7, 4:7], weights[4])  # three in a row: the fifth is second in the second row
    assert np.isnan(cells.z[3]).all()
    assert list(cells.customdata[5, 6]) == [5, 2, 3]


def test_changes_of_filters_may_all_be_zero_and_are_not_called_weights():
    figure = panels.filters(np.zeros((4, 3, 3), np.float32), BLUE, changes=True)
    assert figure.data[0].zmin < figure.data[0].zmax
    assert figure.layout.title.text != panels.filters(np.zeros((4, 3, 3), np.float32), BLUE).layout.title.text
    assert "weight" not in figure.to_json()


def test_each_position_has_a_map_at_its_own_place():
    similarity = np.random.default_rng(0).uniform(-1, 1, (49, 49)).astype(np.float32)
    cells = panels.position_similarity(similarity).data[0]
    here, there = (2, 5), (6, 0)
    row, column = 8 * here[0] + there[0], 8 * here[1] + there[1]
    assert cells.z[row, column] == similarity[7 * here[0] + here[1], 7 * there[0] + there[1]]
    assert list(cells.customdata[row, column]) == [3, 6, 7, 1]
    assert (cells.zmin, cells.zmax) == (-1, 1)


def test_text_and_background_take_the_colours_of_the_page(digits):
    for figure in (
        panels.predictions(digits, np.arange(6), one_hot(*range(6)), BLUE),
        panels.attention(digits, np.full((6, 7, 7), 1 / 49, np.float32), BLUE),
        panels.boxes(digits[0], np.array([[1, 2, 3, 4]], np.float32), np.array([1]), np.array([0.5]), BLUE),
        panels.confusion(np.eye(10, dtype=int), BLUE),
        panels.filters(np.ones((4, 3, 3), np.float32), BLUE),
        panels.position_similarity(np.eye(49, dtype=np.float32)),
    ):
        layout = json.loads(figure.to_json())["layout"]
        assert "color" not in layout["font"]
        assert layout.keys().isdisjoint({"paper_bgcolor", "plot_bgcolor"})
