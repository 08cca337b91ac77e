"""Learning curves: loss, accuracy and learning rate of runs. A DataFrame in, a Plotly figure out."""

import math
from collections import Counter
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.figures import plotting
from atelier.zoo import MODELS

POINTS = 500  # the most that a curve shows
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")  # with the symbols, they distinguish runs of the same network
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")

Axis = Literal["step", "epoch", "seconds"]
AXES = {"step": "Optimiser steps", "epoch": "Epochs", "seconds": "Seconds of training"}
TITLES = {"loss": "Loss: lower is better", "accuracy": "Accuracy: higher is better"}
VALUES = {"loss": "loss %{y:.4f}", "accuracy": "accuracy %{y:.2%}"}  # in tooltips
SPLITS = {"train": "training digits", "val": "validation digits"}  # in the order of drawing: validation on top
LOGARITHMIC = {"type": "log", "tickvals": [m * 10.0**e for e in range(-6, 3) for m in (1, 3)], "tickformat": "~g"}


def curves(events: pd.DataFrame, value: Literal["loss", "accuracy"], axis: Axis, log: bool = False) -> Figure:
    """Loss or accuracy of runs: bold for the validation digits, thin for the training digits.

    Args:
        events: rows in the order of time with `run` (its name on the page), `model` (its name in MODELS), `split`
            ("train" or "val"; others are left out), `step`, `epoch`, `seconds`, `loss` and `accuracy` (0 to 1).
            Without rows the figure is empty.
        value: accuracies are shown in percent.
        axis: "seconds" compares networks fairly whose steps take different time.
        log: a logarithmic axis for the loss; accuracies stay linear.
    """
    lines = {}  # by run and split
    for split, digits in SPLITS.items():
        for run, style in _styles(events).items():
            points = events[(events.run == run) & (events.split == split)]
            if len(points):
                lines[run, split] = _line(points, axis, value, style, f"{VALUES[value]} on {digits}")
    for line in {run: line for (run, _), line in lines.items()}.values():  # the last of each run, bold if there is one
        line.showlegend = True
    scale: dict[str, Any] = {"tickformat": "~%"} if value == "accuracy" else LOGARITHMIC if log else {}
    if not lines:
        scale = scale | {"range": [0, 1]}
    return plotting.figure(
        list(lines.values()),
        TITLES[value],
        "Bold: validation digits. Thin: training digits",
        xaxis=plotting.axis(AXES[axis]),
        yaxis=plotting.axis() | scale,
        showlegend=events.run.nunique() > 1,
        legend={"orientation": "h", "x": 0, "y": -0.45, "yanchor": "top", "tracegroupgap": 0, "uirevision": "kept"},
        uirevision=f"{value} {axis} {log}",  # another axis resets the zoom
    )


def learning_rate(events: pd.DataFrame, axis: Axis) -> Figure:
    """The learning rate of runs; `events` as for `curves`, with `learning_rate`."""
    events = events[events.split == "train"]
    lines = [
        _line(events[events.run == run], axis, "learning_rate", style, "learning rate %{y:.3g}")
        for run, style in _styles(events).items()
    ]
    return plotting.figure(
        lines,
        "Learning rate",
        "How much each step changes the weights",
        xaxis=plotting.axis(AXES[axis]),
        yaxis=plotting.axis() | {"tickformat": "~g", "rangemode": "tozero"},
        uirevision=axis,
    )


def _styles(events: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Colour, dash and symbol by run."""
    styles = {}
    counts: Counter[str] = Counter()  # runs by network
    for run, model in events[["run", "model"]].drop_duplicates("run").itertuples(index=False):
        number = counts[model] % len(DASHES)
        styles[run] = {"color": MODELS[model].colour, "dash": DASHES[number], "symbol": SYMBOLS[number]}
        counts[model] += 1
    return styles


def _line(points: pd.DataFrame, axis: Axis, value: str, style: dict[str, str], tooltip: str) -> Scatter:
    """One run's events of one split."""
    run, split = points[["run", "split"]].iloc[0]
    bold = split == "val"
    every = 2 ** max(0, math.ceil(math.log2(len(points) / POINTS)))  # a power of two, so that drawn points stay
    points = points.iloc[sorted({*range(0, len(points), every), len(points) - 1})]
    return Scatter(
        x=points[axis].to_numpy(np.float32),
        y=points[value].to_numpy(np.float32),
        customdata=points[["epoch", "seconds", "step"]].to_numpy(np.float32),
        hovertemplate=f"<b>%{{fullData.name}}</b><br>{tooltip}<br>"
        "epoch %{customdata[0]:.1f} · %{customdata[1]:.1f} s · step %{customdata[2]:,.0f}<extra></extra>",
        name=escape(run),
        legendgroup=run,
        uid=f"{run} {split}",  # a line hidden in the legend stays hidden while other lines come and go
        showlegend=False,
        mode="lines+markers" if bold else "lines",
        line={"color": style["color"], "dash": style["dash"], "width": 4 if bold else 1.5},
        marker={"symbol": style["symbol"], "size": 10},
        opacity=1 if bold else 0.6,
    )
