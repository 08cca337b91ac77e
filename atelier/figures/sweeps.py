"""Parts that figures and findings of several studies share."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from atelier.figures import plotting
from atelier.zoo import MODELS

LEAST = 5e-4  # share of misread digits: better ones are drawn there, for a logarithmic axis has no zero
TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)  # misread
LEGEND = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "tracegroupgap": 0}
BENEATH = {"y": 0, "yref": "container", "yanchor": "bottom"}  # a legend below all panels


def networks(table: pd.DataFrame) -> list[str]:
    """Those that a table is about, in the order of MODELS."""
    return [name for name in MODELS if name in set(table.network)]


def percent(share: float) -> str:
    """As "94.2%" or "99.53%": close to 100%, hundredths tell networks apart."""
    return f"{share:.2%}" if share >= 0.99 else f"{share:.1%}"


def misread(accuracy: pd.Series) -> np.ndarray:
    """Accuracies as heights on `accuracy_axis`."""
    return np.clip(1 - accuracy.to_numpy(), LEAST, 1)


def accuracy_axis() -> dict[str, Any]:
    """Accuracy on an axis that shows from 10% to 99.9% at once: each step up halves the misread digits or so."""
    labels = [f"{100 * (1 - share):.4g}%" for share in TICKS]
    scale = {"type": "log", "autorange": "reversed", "tickvals": TICKS, "ticktext": labels}
    return plotting.axis("digits read right") | scale


def spread(accuracies: pd.DataFrame) -> dict[str, Any]:
    """Bars on `accuracy_axis` from the worst to the best of several seeds: `mean`, `min`, `max` and `count` of each
    point's accuracies."""
    heights = misread(accuracies["mean"])
    return {
        "array": misread(accuracies["min"]) - heights,
        "arrayminus": heights - misread(accuracies["max"]),
        "visible": bool((accuracies["count"] > 1).any()),
        "thickness": 2,
        "width": 5,
    }


def panels(titles: Sequence[str], columns: int, title: str, subtitle: str, height: int) -> Figure:
    """An empty figure of several panels, row by row, each under its own title; `height` in pixels.

    Traces go there with `add_trace(trace, *cell(number, columns))`.
    """
    rows = math.ceil(len(titles) / columns)
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.12 / columns, vertical_spacing=100 / height
    )
    look = {"height": height, "margin": {"l": 8, "r": 8, "t": 100, "b": 110}, "showlegend": True}
    figure.update_layout(plotting.figure([], title, subtitle, legend=LEGEND | BENEATH, **look).layout)
    return (
        figure.update_annotations(font={"size": plotting.TEXT})
        .update_yaxes(plotting.axis())
        .update_xaxes(plotting.axis())
    )


def cell(number: int, columns: int) -> tuple[int, int]:
    """Row and column of a panel, both counted from 1 as Plotly does."""
    row, column = divmod(number, columns)
    return row + 1, column + 1
