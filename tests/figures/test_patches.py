"""Figures of a Vision Transformer: each value lies over its patch."""

import json

import numpy as np
import pytest

from atelier.data.mnist import SIDE
from atelier.figures import patches

COLOUR = "#CC79A7"


@pytest.fixture
def digit():
    return np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


@pytest.mark.parametrize("side", [2, 4, 7, 14])
def test_each_map_lies_over_its_digit(digit, side):
    maps = np.zeros((3, 2, side, side), np.float32)
    maps[2, 1, 0, 1] = 0.25
    figure = patches.head_attention(digit, maps, token=0, chosen=(1, 2), colour=COLOUR)
    _, over, legend, frame = figure.data
    assert (over.zmin, over.zmax) == (legend.zmin, legend.zmax)
    (row,), (column,) = np.nonzero(over.z == 25)  # percent
    assert list(over.customdata[row, column]) == [3, 2, 1, 2]
    pitch, size = patches.PITCH, SIDE / side
    assert (over.x[column], over.x[column + 1]) == pytest.approx((pitch + size, pitch + 2 * size))
    assert (over.y[row], over.y[row + 1]) == pytest.approx((2 * pitch, 2 * pitch + size))
    assert (len(over.y), len(over.x)) == (over.z.shape[0] + 1, over.z.shape[1] + 1)  # edges
    assert np.nanmin(frame.x) < pitch < pitch + SIDE < np.nanmax(frame.x)
    assert np.nanmin(frame.y) < 0 < SIDE < np.nanmax(frame.y) < 2 * pitch


def test_attention_of_a_token_is_complete(digit):
    row = np.array([0.4, 0.1, 0.2, 0.05, 0.25], np.float32)
    _, over, _, class_token, _, frame, share = patches.token_attention(digit, row, 2, 1, 3, COLOUR).data
    assert over.z == pytest.approx(np.array([[10, 20], [5, 25]]))
    assert class_token.z[0][0] == pytest.approx(40)
    assert [over.customdata[0, 1], class_token.customdata[0][0]] == [2, 0]
    assert "100%" in over.hovertemplate
    assert "40%" in share.text[0]
    left, top = np.nanmin(frame.x), np.nanmin(frame.y)
    assert (over.x0 + 0.5 * over.dx, top) == (left, 0)  # the second of two by two
    beside = patches.token_attention(digit, row, 0, 1, 3, COLOUR).data[5]
    assert np.nanmax(beside.x) < over.x0 - 0.5 * over.dx


def test_lines_have_labels_from_15_percent_on():
    probabilities = np.full((3, 10), 0.02, np.float32)
    probabilities[:, 4], probabilities[:2, 9], probabilities[2, 4] = 0.3, 0.5, 0.8
    figure = patches.logit_lens(probabilities, COLOUR)
    assert list(figure.data[9].text) == ["<b>9</b>", "<b>9</b>", ""]
    assert set(figure.data[0].text) == {""}
    assert figure.data[4].line.width > figure.data[9].line.width
    assert "4" in figure.layout.title.text


def test_zeros_have_a_scale(digit):
    for figure in (
        patches.gradient_rollout(digit, np.zeros((7, 7), np.float32), 3, COLOUR),
        patches.rollout(digit, np.zeros((7, 7), np.float32), COLOUR),
        patches.token_attention(digit, np.eye(50, dtype=np.float32)[0], 0, 1, 1, COLOUR),
        patches.head_attention(digit, np.zeros((1, 1, 7, 7), np.float32), 0, (1, 1), COLOUR),
    ):
        assert figure.data[1].zmax > figure.data[1].zmin


def test_text_and_background_take_the_colours_of_the_page(digit):
    maps = np.full((2, 2, 7, 7), 0.02, np.float32)
    for figure in (
        patches.patches(digit, 4),
        patches.vectors(np.ones((5, 8), np.float32), "Patch", 1, "Title", "Subtitle", COLOUR),
        patches.class_token_attention(digit, maps[0], COLOUR),
        patches.logits(np.arange(10, dtype=np.float32), COLOUR),
        patches.head_attention(digit, maps, 3, (1, 2), COLOUR),
        patches.token_attention(digit, np.full(50, 0.02, np.float32), 0, 1, 1, COLOUR),
        patches.logit_lens(np.full((3, 10), 0.1, np.float32), COLOUR),
        patches.attention_distances(np.ones((2, 2)), 12.0, COLOUR),
    ):
        layout = json.loads(figure.to_json())["layout"]
        assert "color" not in layout["font"]
        assert layout.keys().isdisjoint({"paper_bgcolor", "plot_bgcolor"})
        assert layout["title"]["text"]
