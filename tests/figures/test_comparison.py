"""Figures of the Compare page."""

import numpy as np
import pandas as pd
import pytest

from atelier.figures import comparison


def test_pareto_front_by_hand():
    #       cheapest, worse in both, as good but dearer, best, as dear as the best but worse
    cost = np.array([1.0, 4.0, 3.0, 2.0, 2.0])
    accuracy = np.array([0.90, 0.85, 0.95, 0.95, 0.93])
    assert comparison.pareto(cost, accuracy).tolist() == [True, False, False, True, False]


def test_two_equal_networks_are_both_on_the_pareto_front():
    assert comparison.pareto(np.array([1.0, 1.0]), np.array([0.9, 0.9])).tolist() == [True, True]


@pytest.fixture
def table():
    accuracy = pd.Series([0.99, 0.98, 0.995])
    columns = {"title": ["A", "B", "C"], "colour": ["#111111"] * 3, "accuracy": accuracy, "parameters": [1e5, 1e6, 1e7]}
    return pd.DataFrame(columns | {"wilson_low": accuracy - 0.002, "wilson_high": accuracy + 0.002})


def test_trade_off_has_a_line_through_the_pareto_front(table):
    front, points = comparison.trade_off(table, "parameters", "?", "Parameters").data
    assert list(front.x) == [1e5, 1e5, 1e7, 1e7]  # without B; from below the cheapest to the right of the best
    assert list(front.y) == [0.978, 0.99, 0.995, 0.995]
    assert list(points.x) == [1e5, 1e6, 1e7]


def test_known_costs_are_compared_and_training_on_one_device(table):
    costs = {
        "latency_p50_ms": [np.nan, 0, 1.5],
        "training_seconds": [60, 3, 600],
        "training_device": ["CPU", "H100", "CPU"],
    }
    figures = comparison.trade_offs(table.assign(**costs))
    assert {cost: list(figure.data[1].x) for cost, figure in figures.items()} == {
        "parameters": [1e5, 1e6, 1e7],
        "training_seconds": [60, 600],
    }


def test_single_network_has_a_trade_off(table):
    assert len(comparison.trade_off(table[:1], "parameters", "?", "Parameters").data) == 2


def test_click_on_a_digit_comes_with_its_number():
    numbers = np.arange(100, 107)
    figure = comparison.digits(np.zeros((7, 28, 28), np.uint8), ["x"] * 7, ["tooltip"] * 7, numbers, "Digits")
    (cells,) = [trace for trace in figure.data if trace.type == "heatmap"]
    assert cells.customdata[~np.isnan(cells.z)].tolist() == numbers.tolist()


def test_confusion_matrix_has_its_network_in_the_title_and_a_frame_around_a_cell():
    figure = comparison.confusion(np.eye(10, dtype=int) * 90 + 1, "ViT", "#CC79A7", marked=(4, 9))
    assert "ViT" in figure.layout.title.text
    assert "90 of 1,000" in figure.layout.title.text
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (8.5, 9.5, 3.5, 4.5)


def test_bins_with_few_digits_are_left_out_and_runs_with_one_colour_have_different_lines():
    bins = pd.DataFrame(
        {
            "low": [0, 0.4, 0.7],
            "high": [0.4, 0.7, 1],
            "digits": [0, 9, 10],
            "confidence": [np.nan, 0.6, 0.9],
            "accuracy": [np.nan, 1, 0.75],
        }
    )
    figure = comparison.reliability([("A", "#111111", bins), ("B", "#111111", bins)])
    _, one, two = figure.data
    assert list(one.x) == [0.9]
    assert list(one.y) == [0.75]
    assert one.line.dash != two.line.dash
    assert figure.layout.xaxis.range == figure.layout.yaxis.range == (0.72, 1.03)  # from the least of both
