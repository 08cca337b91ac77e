"""Parts that figures and findings of several studies share."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from atelier.figures import plotting
from atelier.zoo import MODELS

LEAST = 5e-4  # error rate: lower ones are drawn here, because a logarithmic axis has no zero
TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)  # error rates
LEGEND = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "tracegroupgap": 0}
BENEATH = {"y": 0, "yref": "container", "yanchor": "bottom"}  # a legend below all panels


def networks(table: pd.DataFrame) -> list[str]:
    """The networks in a table, in the order of MODELS."""
    return [name for name in MODELS if name in set(table.network)]


def percent(share: float) -> str:
    """Format a share as "94.2%" or "99.53%": networks close to 100% differ in hundredths."""
    return f"{share:.2%}" if share >= 0.99 else f"{share:.1%}"


def error_rate(accuracy: pd.Series) -> np.ndarray:
    """Error rates, as `accuracy_axis` draws accuracies."""
    return np.clip(1 - accuracy.to_numpy(), LEAST, 1)


def accuracy_axis() -> dict[str, Any]:
    """An axis of accuracy from 10% to 99.9%, on a logarithmic scale of the error rate."""
    labels = [f"{100 * (1 - rate):.4g}%" for rate in TICKS]
    scale = {"type": "log", "autorange": "reversed", "tickvals": TICKS, "ticktext": labels}
    return plotting.axis("accuracy (log scale of the error rate)") | scale


def line(network: str, x: Any, y: Any, **properties: Any) -> Scatter:
    """A line with a dot at each value, in the network's colour."""
    spec = MODELS[network]
    look = {"mode": "lines+markers", "line": {"color": spec.colour, "width": 3}, "marker": {"size": 10}}
    return Scatter({"x": x, "y": y, "name": spec.title, "legendgroup": network, **look}).update(properties)


def accuracy_line(network: str, x: Any, accuracies: pd.DataFrame, where: str, **properties: Any) -> Scatter:
    """A line on `accuracy_axis` with bars from the worst to the best seed.

    Args:
        network: a name in MODELS.
        x: of each point.
        accuracies: `mean`, `min`, `max` and `count` of each point.
        where: a point in words, as a template of Plotly.
        properties: of the line.
    """
    mean = error_rate(accuracies["mean"])
    bars = {
        "array": error_rate(accuracies["min"]) - mean,
        "arrayminus": mean - error_rate(accuracies["max"]),
        "visible": bool((accuracies["count"] > 1).any()),
        "thickness": 2,
        "width": 5,
    }
    tooltip = f"<b>%{{fullData.name}}</b>, {where}: %{{customdata[0]:.2%}} accuracy<br>"
    tooltip += "worst seed %{customdata[1]:.2%}, best %{customdata[2]:.2%}<extra></extra>"
    return line(network, x, mean, error_y=bars, customdata=accuracies, hovertemplate=tooltip, **properties)


def accuracy_figure(lines: list[Scatter], title: str, subtitle: str, xaxis: dict[str, Any]) -> Figure:
    """A figure of lines on `accuracy_axis`."""
    x, y = plotting.axis() | xaxis | {"type": "log"}, accuracy_axis()
    return plotting.figure(lines, title, subtitle, xaxis=x, yaxis=y, showlegend=True, legend=LEGEND)


def subplots(titles: Sequence[str], columns: int, title: str, subtitle: str, height: int) -> Figure:
    """An empty figure of several panels with titles, row by row; `height` in pixels.

    Add traces by `add_trace(trace, *cell(number, columns))`.
    """
    rows = math.ceil(len(titles) / columns)
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.12 / columns, vertical_spacing=100 / height
    )
    style = {"height": height, "margin": {"l": 8, "r": 8, "t": 100, "b": 110}, "showlegend": True}
    figure.update_layout(plotting.figure([], title, subtitle, legend=LEGEND | BENEATH, **style).layout)
    return (
        figure.update_annotations(font={"size": plotting.TEXT})
        .update_yaxes(plotting.axis())
        .update_xaxes(plotting.axis())
    )


def cell(number: int, columns: int) -> tuple[int, int]:
    """Row and column of a panel, counted from 1 as Plotly does."""
    row, column = divmod(number, columns)
    return row + 1, column + 1
