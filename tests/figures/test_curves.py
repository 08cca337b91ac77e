"""Learning curves show the numbers they are given, one colour for each network."""

import json

import numpy as np
import pandas as pd
import pytest

from atelier import MODELS
from atelier.figures import curves


def events(run="CNN", model="cnn", count=10, splits=("train", "val")):
    """One event for each step and split; a step takes half a second and a hundredth of an epoch."""
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
    (trace,) = [trace for trace in figure.data if trace.uid == f"{run} {split}"]
    return trace


@pytest.mark.parametrize(("axis", "last"), [("step", 10), ("epoch", 0.1), ("seconds", 5)])
def test_curves_on_each_axis(axis, last):
    figure = curves.curves(events(), "loss", axis)
    assert line(figure, "CNN", "val").x == pytest.approx(last * np.arange(1, 11) / 10)
    assert line(figure, "CNN", "val").y == pytest.approx(2 / np.arange(1, 11))
    assert figure.layout.xaxis.title.text == curves.AXES[axis]
    rate = line(curves.learning_rate(events(), axis), "CNN", "train")
    assert (rate.x[-1], rate.y) == (pytest.approx(last), pytest.approx(0.1 * np.arange(1, 11)))


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
    assert first.line.color == second.line.color == MODELS["cnn"].colour
    assert other.line.color == MODELS["vit"].colour
    assert first.line.dash != second.line.dash
    assert first.marker.symbol != second.marker.symbol
    assert line(figure, "second", "train").line.dash == second.line.dash


def test_validation_is_bold_and_each_run_is_in_the_legend_once():
    figure = curves.curves(pd.concat([events("old"), events("new", splits=["train"])]), "loss", "step")
    bold, thin = line(figure, "old", "val"), line(figure, "old", "train")
    assert bold.line.width > 2 * thin.line.width
    assert [(trace.name, trace.mode) for trace in figure.data if trace.showlegend] == [
        ("new", "lines"),  # not validated yet
        ("old", "lines+markers"),
    ]
    assert figure.layout.showlegend
    assert not curves.curves(events(), "loss", "step").layout.showlegend  # one run needs none


def test_runs_without_training_events_give_empty_figures():
    assert len(curves.curves(events(splits=["test"]), "loss", "step").data) == 0
    empty = curves.curves(events()[:0], "accuracy", "seconds")
    assert (len(empty.data), empty.layout.yaxis.range) == (0, (0, 1))
    assert len(curves.learning_rate(events()[:0], "step").data) == 0


def test_a_long_curve_is_thinned_between_its_ends_and_drawn_points_stay():
    steps = list(line(curves.curves(events(count=1_700), "loss", "step"), "CNN", "val").x)
    assert len(steps) < 600
    assert (steps[0], steps[-1]) == (1, 1_700)
    later = line(curves.curves(events(count=1_750), "loss", "step"), "CNN", "val").x
    assert set(steps[:-1]) <= set(later)  # else the curve would flicker while it grows


def test_zoom_is_kept_for_new_events_and_reset_for_another_axis():
    def revision(count=10, axis="step", log=False):
        return curves.curves(events(count=count), "loss", axis, log).layout.uirevision

    assert revision() == revision(count=20)
    assert len({revision(), revision(axis="seconds"), revision(log=True)}) == 3


def test_a_run_may_have_any_name():
    (trace,) = curves.curves(events("<a href='x'>%{x}", splits=["val"]), "loss", "step").data
    assert "<" not in trace.name
    assert "%{x}" not in trace.hovertemplate


def test_text_and_background_take_the_colours_of_the_page():
    for figure in (curves.curves(events(), "loss", "step"), curves.learning_rate(events(), "step")):
        layout = json.loads(figure.to_json())["layout"]
        assert "color" not in layout["font"]
        assert layout.keys().isdisjoint({"paper_bgcolor", "plot_bgcolor"})
