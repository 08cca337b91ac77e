"""Figures show the numbers they are given, where they belong, in colours that any page can show."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from atelier import MODELS
from atelier.figures import curves

BLUE = MODELS["cnn"].colour


def events(run="CNN", model="cnn", count=10, splits=("train", "val")):
    """One event a step and split; a step takes half a second and a hundredth of an epoch."""
    return pd.DataFrame(
        {
            "run": run,
            "model": model,
            "split": split,
            "step": step,
            "epoch": step / 100,
            "seconds": step / 2,
            "loss": 2 / step,
            "accuracy": 1 - 0.5 / step,
            "learning_rate": 0.1 * step,
        }
        for step in range(1, count + 1)
        for split in splits
    )


def line(figure, run, split):
    (found,) = [trace for trace in figure.data if trace.uid == f"{run} {split}"]
    return found


def pixels(figure):
    """The picture in a figure's first trace."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))))


# Curves --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "last", "title"), [("step", 10, "steps"), ("epoch", 0.1, "Epochs"), ("seconds", 5, "Seconds")]
)
def test_the_axis_shows_what_was_asked_for(over, last, title):
    figure = curves.curves(events(), "loss", over)
    assert line(figure, "CNN", "val").x == pytest.approx(last * np.arange(1, 11) / 10)
    assert line(figure, "CNN", "val").y == pytest.approx(2 / np.arange(1, 11))
    assert title in figure.layout.xaxis.title.text


def test_accuracy_is_in_percent_and_never_logarithmic():
    figure = curves.curves(events(), "accuracy", "step", log=True)
    assert line(figure, "CNN", "train").y[0] == 0.5
    assert "%" in figure.layout.yaxis.tickformat
    assert figure.layout.yaxis.type != "log"
    assert curves.curves(events(), "loss", "step", log=True).layout.yaxis.type == "log"
    assert curves.curves(events(), "loss", "step").layout.yaxis.type != "log"


def test_a_network_has_one_colour_and_its_runs_differ_in_dash_and_symbol():
    both = pd.concat([events("first"), events("second"), events("other", "vit")])
    figure = curves.curves(both, "loss", "step")
    first, second, other = (line(figure, run, "val") for run in ("first", "second", "other"))
    assert first.line.color == second.line.color == BLUE
    assert other.line.color == MODELS["vit"].colour
    assert first.line.dash != second.line.dash
    assert first.marker.symbol != second.marker.symbol
    assert line(figure, "second", "train").line.dash == second.line.dash


def test_validation_stands_out_and_each_run_is_in_the_legend_once():
    figure = curves.curves(pd.concat([events("old"), events("new", splits=["train"])]), "loss", "step")
    bold, thin = line(figure, "old", "val"), line(figure, "old", "train")
    assert bold.line.width > 2 * thin.line.width
    assert bold.mode == "lines+markers"
    assert [(trace.name, trace.mode) for trace in figure.data if trace.showlegend] == [
        ("new", "lines"),  # has not been validated yet
        ("old", "lines+markers"),
    ]


def test_a_legend_is_there_where_there_is_something_to_tell_apart():
    assert not curves.curves(events(), "loss", "step").layout.showlegend
    assert curves.curves(pd.concat([events("old"), events("new")]), "loss", "step").layout.showlegend


def test_test_digits_are_not_drawn():
    assert len(curves.curves(events(splits=["test"]), "loss", "step").data) == 0


def test_a_run_without_events_is_an_empty_figure():
    nothing = events()[:0]
    assert len(curves.curves(nothing, "accuracy", "seconds").data) == len(curves.rate(nothing, "step").data) == 0


def test_a_long_curve_is_thinned_but_begins_and_ends_where_it_does():
    """And what is drawn stays while the curve grows, or it would flicker."""
    steps = list(line(curves.curves(events(count=1_700), "loss", "step"), "CNN", "val").x)
    assert len(steps) < 600
    assert (steps[0], steps[-1]) == (1, 1_700)
    later = line(curves.curves(events(count=1_750), "loss", "step"), "CNN", "val").x
    assert set(steps[:-1]) <= set(later)


def test_zoom_is_kept_while_data_grow_and_lost_with_another_axis():
    def revision(count=10, over="step", log=False):
        return curves.curves(events(count=count), "loss", over, log).layout.uirevision

    assert revision() == revision(count=20)
    assert len({revision(), revision(over="seconds"), revision(log=True)}) == 3


def test_a_run_may_have_any_name():
    (trace,) = curves.curves(events("<a href='x'>%{x}", splits=["val"]), "loss", "step").data
    assert "<" not in trace.name
    assert "%{x}" not in trace.hovertemplate


def test_the_learning_rate_is_that_of_training():
    figure = curves.rate(events(), "seconds")
    assert line(figure, "CNN", "train").y == pytest.approx(0.1 * np.arange(1, 11))
    assert line(figure, "CNN", "train").x[-1] == 5


# Digits --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def digits():
    return np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)


def sure_of(*guesses, share=0.91):
    return np.stack([np.where(np.arange(10) == guess, share, (1 - share) / 9) for guess in guesses]).astype(np.float32)


def test_guesses_are_written_beneath_the_digits_and_wrong_ones_crossed_and_framed(digits):
    figure = curves.guesses(digits, np.array([3, 1, 4, 1, 5, 9]), sure_of(3, 1, 4, 7, 5, 9), BLUE)
    _, _, bars, frames, texts, told = figure.data
    assert list(texts.text) == [
        "<b>3</b> 91%",
        "<b>1</b> 91%",
        "<b>4</b> 91%",
        "✗ <b>7</b> 91%",
        "<b>5</b> 91%",
        "<b>9</b> 91%",
    ]
    assert "5 of 6" in figure.layout.title.text
    assert told.text[0][3] == "This is a 1. The network says 7,<br>91.0% sure: wrong."
    assert told.customdata[1][1] == 5
    assert np.isnan(told.z[1][2])  # there is no seventh digit
    assert (bars.x[1] - bars.x[0]) == pytest.approx(0.91 * 28)
    assert len(frames.x) == 6  # four corners, the first again, and a gap
    picture, (x, y) = pixels(figure), (int(frames.x[0]) + 1, int(frames.y[0]) + 1)
    assert np.array_equal(picture[y : y + 28, x : x + 28, 0], digits[3])  # the frame is around the fourth
    assert texts.x[3] == x + 14


def test_a_grid_is_the_same_few_traces_however_many_digits(digits):
    labels, probabilities = np.arange(6), sure_of(*range(6))
    few = curves.guesses(digits[:2], labels[:2], probabilities[:2], BLUE)
    assert len(few.data) == len(curves.guesses(digits, labels, probabilities, BLUE).data)
    assert len(curves.attention(digits, np.full((6, 7, 7), 1 / 49, np.float32)).data) == 2


@pytest.mark.parametrize("patches", [4, 7, 14])
def test_attention_lies_over_the_patch_it_belongs_to(digits, patches):
    attention = np.zeros((6, patches, patches), np.float32)
    attention[5, 1, 2] = 0.25
    figure = curves.attention(digits, attention)
    overlay, side = figure.data[1], 28 // patches
    (row,), (column,) = np.nonzero(overlay.z == 25)  # percent
    assert list(overlay.customdata[row, column]) == [6, 2, 3]  # counted from 1
    left, top = (overlay.x0 + (column - 0.5) * overlay.dx, overlay.y0 + (row - 0.5) * overlay.dy)
    seen = pixels(figure)[round(top) : round(top) + side, round(left) : round(left) + side, 0]
    assert np.array_equal(seen, digits[5, side : 2 * side, 2 * side : 3 * side] // 2)


def test_boxes_say_which_digit_and_how_sure():
    scene, corners = np.zeros((40, 100), np.uint8), np.array([[10, 5, 30, 35], [50, 6, 80, 36]], np.float32)
    figure = curves.boxes(scene, corners, np.array([7, 2]), np.array([0.98, 0.5], np.float32), BLUE)
    assert [note.text for note in figure.layout.annotations] == ["<b>7</b>", "98%", "<b>2</b>", "50%"]
    assert (figure.layout.annotations[0].x, figure.layout.annotations[0].y) == (20, 5)
    box = figure.data[1]
    assert [(np.nanmin(part), np.nanmax(part)) for part in (box.x[:5], box.y[:5])] == [(10, 30), (5, 35)]
    assert "2 digits" in figure.layout.title.text
    assert pixels(figure).shape == scene.shape


def test_a_scene_without_boxes_says_so():
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
    figure = curves.boxes(np.zeros((40, 100), np.uint8), *nothing, BLUE)
    assert "No digit found" in figure.layout.title.text
    assert len(figure.layout.annotations) == 0


def test_confusion_prints_every_count_and_shows_a_single_error():
    matrix = 490 * np.eye(10, dtype=int)
    matrix[4, 9] = 1
    cells, light, dark = (figure := curves.confusion(matrix, BLUE)).data
    assert [(x, y, text) for x, y, text in zip(light.x, light.y, light.text, strict=True)] == [(9, 4, 1)]
    assert list(dark.text) == [490] * 10
    assert list(dark.x) == list(dark.y) == list(range(10))
    assert cells.text[4][9] == "4s taken for 9: 1 of 491"
    assert cells.text[4][4] == "4s read right: 490 of 491"
    assert np.isfinite(cells.z[4][9])
    assert np.isnan(cells.z[9][4])
    faintest = cells.colorscale[0][1]
    assert float(faintest.rstrip(")").split(",")[-1]) >= 0.2  # opacity
    assert "Guess" in figure.layout.xaxis.title.text
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # 0 on top


# What is inside ------------------------------------------------------------------------------------------------------


def test_filters_share_a_scale_around_zero():
    weights = np.linspace(-1, 3, 5 * 3 * 3, dtype=np.float32).reshape(5, 3, 3)
    shown = curves.filters(weights, BLUE).data[0]
    assert shown.zmin == -shown.zmax
    assert shown.zmax == pytest.approx(2.9, abs=0.1)
    assert np.array_equal(shown.z[4:7, 4:7], weights[4])  # three a row: the fifth lies in the middle of the second
    assert np.isnan(shown.z[3]).all()
    assert list(shown.customdata[5, 6]) == [5, 2, 3]


def test_filters_that_have_moved_say_so_and_may_not_have_moved_yet():
    figure = curves.filters(np.zeros((4, 3, 3), np.float32), BLUE, moved=True)
    assert figure.data[0].zmin < figure.data[0].zmax
    told = [figure.layout.title.text, figure.data[0].colorbar.title.text, figure.data[0].hovertemplate]
    assert "How its filters have moved" in told[0]
    assert all("since the start" in text.lower() for text in told)
    assert "weight" not in " ".join(told)


def test_each_position_has_a_map_at_its_own_place():
    similarity = np.random.default_rng(0).uniform(-1, 1, (49, 49)).astype(np.float32)
    shown = curves.position_similarity(similarity).data[0]
    here, there = (2, 5), (6, 0)
    row, column = 8 * here[0] + there[0], 8 * here[1] + there[1]
    assert shown.z[row, column] == similarity[7 * here[0] + here[1], 7 * there[0] + there[1]]
    assert list(shown.customdata[row, column]) == [3, 6, 7, 1]
    assert (shown.zmin, shown.zmax) == (-1, 1)


# All -----------------------------------------------------------------------------------------------------------------


def test_text_and_ground_take_the_colours_of_the_page(digits):
    probabilities, boxes = sure_of(*range(6)), np.array([[1, 2, 3, 4]], np.float32)
    for figure in (
        curves.curves(events(), "loss", "step"),
        curves.rate(events(), "step"),
        curves.guesses(digits, np.arange(6), probabilities, BLUE),
        curves.attention(digits, np.full((6, 7, 7), 1 / 49, np.float32)),
        curves.boxes(digits[0], boxes, np.array([1]), np.array([0.5]), BLUE),
        curves.confusion(np.eye(10, dtype=int), BLUE),
        curves.filters(np.ones((4, 3, 3), np.float32), BLUE),
        curves.position_similarity(np.eye(49, dtype=np.float32)),
    ):
        layout = json.loads(figure.to_json())["layout"]
        assert "color" not in layout["font"]
        assert layout.keys().isdisjoint({"paper_bgcolor", "plot_bgcolor"})
        assert layout["title"]["text"]
