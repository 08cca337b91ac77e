"""Figures that compare networks on one digit."""

import base64
import io

import numpy as np
from PIL import Image

from atelier.explain.perturbations import Flip
from atelier.figures import changes

DIGIT = np.full((28, 28), 100, np.uint8)


def pixels(figure):
    """The sheet of small pictures."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))))


def test_pictures_lie_in_rows_with_captions_below():
    pictures = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) + np.zeros((2, 3, 28, 28), np.uint8)
    texts = [["a", "b", "c"], ["d", "e", "f"]]
    figure = changes.grid(pictures, texts, texts, ["first", "second"], ["left", "", "right"], "Title", "Subtitle")
    sheet, (_, rows, captions, hover, columns) = pixels(figure), figure.data
    assert sheet[changes.ROW + 5, 2 * changes.CELL + 5, 0] == 5  # second row, third column
    assert sheet[5, 30, 3] == 0  # transparent between them
    assert list(rows.text) == ["first", "second"]
    assert rows.y[1] - rows.y[0] == changes.ROW
    assert list(columns.x) == list(captions.x[:3])
    assert columns.y[0] < rows.y[0] < captions.y[0]
    assert list(captions.text) == ["a", "b", "c", "d", "e", "f"]
    assert captions.x[5] == 2 * changes.CELL + 14
    assert captions.y[5] > rows.y[1] + 28
    assert hover.text[1][2] == "f"


def test_flip_shows_its_digit_and_a_missing_flip_is_blank():
    flip = Flip("3.20 px", 3.2, "down", 9, DIGIT)
    figure = changes.flips(["cnn", "vit"], ["shift"], {("cnn", "shift"): flip, ("vit", "shift"): None})
    sheet = pixels(figure)
    assert sheet[5, 5, 0] == 100
    assert sheet[5, changes.CELL + 5, 0] == 0
    assert ["CNN" in figure.data[4].text[0], "ViT" in figure.data[4].text[1]] == [True, True]
    assert figure.data[2].text[0] == "3.20 px<br>→ <b>9</b>"
    assert figure.data[3].text[0][1] == ""


def test_step_is_red_where_it_is_brighter_and_blue_where_darker():
    sign = np.zeros((28, 28), np.int8)
    sign[0, :2] = 1, -1
    before, after = np.eye(10, dtype=np.float32)[[4, 9]]
    figure = changes.steps(["cnn"], DIGIT, [sign], [DIGIT // 2], [before], [after])
    sheet = pixels(figure)
    step = sheet[changes.ROW :, :, :3]
    assert [tuple(step[0, 0]), tuple(step[0, 1]), tuple(step[5, 5])] == [
        changes.BRIGHTER,
        changes.DARKER,
        changes.WHITE,
    ]
    assert sheet[2 * changes.ROW, 0, 0] == 50
    assert list(figure.data[2].text) == ["<b>4</b><br>100%", "", "<b>9</b><br>100%"]


def test_more_networks_than_symbols_have_a_line_each():
    names, epsilons = ["cnn", "vit", "cnn", "vit", "cnn", "vit"], np.array([0, 0.1])
    figure = changes.confidence(names, epsilons, np.full((6, 2), 0.5), np.arange(6))
    assert len(figure.data) == 6


def test_map_names_each_group_at_its_median():
    points = np.array([[0, 0], [2, 0], [10, 10]], np.float32)
    figure = changes.neighbour_map(points, np.array([3, 3, 7]), np.array([5, 6], np.float32), 0.4, "vit")
    names = [(note.text, note.x, note.y) for note in figure.layout.annotations]
    assert names == [("<b>3</b>", 1, 0), ("<b>7</b>", 10, 10)]
    star = figure.data[-1]
    assert (star.x[0], star.y[0]) == (5, 6)
    assert "40%" in figure.layout.title.text
