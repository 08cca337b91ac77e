"""Figures of convolutions."""

import numpy as np
import pytest

from atelier.explain.convolutions import PixelArithmetic
from atelier.figures import feature_maps

DIGIT = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
COLOUR = "#2E86D1"


def test_click_on_a_sheet_comes_with_the_channel():
    maps = np.arange(10 * 2 * 3, dtype=np.float32).reshape(10, 2, 3)
    figure = feature_maps.sheet(maps, np.arange(10)[::-1], 7, "Title", "", "value", COLOUR)
    tiles, hover = figure.data[0], figure.data[-1]
    assert tiles.z[:2, :3] == pytest.approx(maps[0])
    assert hover.customdata[0].tolist() == [9, 8, 7, 6, 5, 4, 3, 2]
    assert hover.customdata[1][:2].tolist() == [1, 0]
    assert (tiles.zmin, tiles.zmax) == (-59, 59)


def test_sheet_of_large_maps_skips_pixels_but_not_the_maximum():
    maps = np.arange(2 * 160 * 160, dtype=np.float32).reshape(2, 160, 160)
    maps[0, 1, 1] = 1e6  # is skipped
    figure = feature_maps.sheet(maps, np.arange(2), None, "Title", "", "value", COLOUR)
    assert figure.data[0].z.shape == (55, 110)
    assert figure.data[0].z[1, 1] == maps[0, 3, 3]
    assert "1000000" in figure.data[-1].text[0][0]


def test_maps_before_and_after_a_step_have_one_scale_and_one_height():
    before, after = np.full((4, 4), -8, np.float32), np.ones((2, 2), np.float32)
    figure = feature_maps.large_maps([before, after], ["before", "after"], (1, 0), "Title", "value", COLOUR)
    first, _, second, _, frame = figure.data
    assert first.zmax == second.zmax == 8
    assert (first.dx, second.dx) == (1, 2)
    assert (min(frame.x[:4]), min(frame.y[:4])) == (second.x0 - 1, 2)


def test_receptive_field_has_a_frame():
    figure = feature_maps.receptive_field(DIGIT, (8.0, 0.0, 18.0, 8.0), "Title", "")
    assert np.array_equal(figure.data[0].z, DIGIT)
    assert (set(figure.data[1].x[:5]), set(figure.data[1].y[:5])) == ({8, 18}, {0, 8})


def test_arithmetic_shows_window_filter_products_and_sum():
    value = PixelArithmetic(
        channels=np.array([4]),
        windows=np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32),
        filters=np.array([[[0.5, 0.5], [-1.0, 0.0]]], np.float32),
        rest=0.25,
        others=1,
        bias=0.0,
        output=-1.25,
    )
    figure = feature_maps.arithmetic(value, ["map 5"], COLOUR)
    texts = [text for trace in figure.data if trace.type == "scatter" for text in trace.text]
    assert {"map 5", "×", "=", "<b>sum -1.50</b>"} == set(texts)
    assert figure.data[2].z[:2] == pytest.approx(np.array([[0.5, 1.0], [-3.0, 0.0]]))


@pytest.mark.parametrize("colour", [COLOUR, None])
def test_attributions_lie_side_by_side_on_one_scale(colour):
    heats = np.zeros((2, 28, 28), np.float32)
    assert feature_maps.attributions(DIGIT, heats, ["4", "9"], "", "", "support", colour).data[1].zmax == 1  # all zero
    heats[1, 3, 5] = 0.5
    overlay = feature_maps.attributions(DIGIT, heats, ["4", "9"], "", "", "support", colour).data[1]
    assert (overlay.zmin, overlay.zmax) == (0 if colour else -0.5, 0.5)
    assert overlay.z[3, 28 + feature_maps.GAP + 5] == 0.5
    assert list(overlay.customdata[3, 28 + feature_maps.GAP + 5]) == [2, 4, 6]


def test_bars_show_frozen_and_fine_tuned_layers():
    (bars,) = feature_maps.distances_from_pretrained([False, True, True], {3: 0.125}, "#009E73").data
    assert bars.x == (0.0, 0.0, 0.125)
    assert bars.marker.color == (feature_maps.FROZEN, "#009E73", "#009E73")
