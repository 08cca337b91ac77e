"""Figures of the Compare page and the report: trade-offs, confusion matrices, digits, reliability.

Colours of text, grid and background are left open, as in `atelier.figures.plotting`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import cycle

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import curves, panels, plotting
from atelier.figures.plotting import TEXT

COLUMNS = 6  # of a sheet of digits
FEWEST = 10  # digits in a bin of a reliability diagram; fewer show chance
CELL, ROW = SIDE + 6, SIDE + 30  # width and height of a digit with its caption, in pixels of the digit
GREY = "rgba(128, 128, 128, 0.8)"
COSTS = {  # the title of the figure, and the axis
    "latency_p50_ms": ("Accuracy and speed", "Milliseconds for one digit"),
    "parameters": ("Accuracy and size", "Parameters"),
    "training_seconds": ("Accuracy and training time", "Seconds of training"),
}
HEIGHT = 380  # pixels, of a figure of COSTS


# Leaderboard ---------------------------------------------------------------------------------------------------------


def pareto(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """The Pareto front of N networks, `bool[N]`: no other network is as good in both values and better in one."""
    as_good = (cost[:, None] <= cost) & (accuracy[:, None] >= accuracy)
    better = (cost[:, None] < cost) | (accuracy[:, None] > accuracy)
    return np.asarray(~(as_good & better).any(axis=0))


def trade_offs(table: pd.DataFrame) -> dict[str, Figure]:
    """A `trade_off` for each of COSTS that is known for two networks or more.

    Training times are compared only between networks that were trained on the same device.

    Args:
        table: the leaderboard's, with `title` and `colour`.
    """
    trained = table[table.training_device == table.training_device.mode().max()]
    shown = {cost: trained if cost == "training_seconds" else table for cost in COSTS}
    shown = {cost: rows[rows[cost] > 0] for cost, rows in shown.items()}
    return {cost: trade_off(rows, cost, *COSTS[cost]) for cost, rows in shown.items() if len(rows) > 1}


def trade_off(table: pd.DataFrame, cost: str, title: str, axis: str) -> Figure:
    """Accuracy against a cost on a logarithmic axis, a point for each network, and the Pareto front.

    Args:
        table: a row for each network with `title`, `colour`, `accuracy`, `wilson_low` and `wilson_high` (0 to 1) and
            the cost, above 0.
        cost: its column.
        title: of the figure.
        axis: the cost's name and unit.
    """
    front = table[pareto(table[cost].to_numpy(), table.accuracy.to_numpy())].sort_values(cost)
    x = [front[cost].min(), *front[cost], table[cost].max()]  # networks below the line are beaten
    y = [table.wilson_low.min(), *front.accuracy, front.accuracy.max()]
    low, high = np.log10(table[cost].min()), np.log10(table[cost].max())
    beside = np.where(np.log10(table[cost]) < (low + high) / 2, "right", "left")  # names stay apart
    above = np.where(table.accuracy < table.accuracy.median(), "bottom", "top")
    intervals = {"array": table.wilson_high - table.accuracy, "arrayminus": table.accuracy - table.wilson_low}
    points = Scatter(
        x=table[cost],
        y=table.accuracy,
        error_y=intervals | {"color": GREY, "width": 0, "thickness": 2},
        mode="markers+text",
        marker={"size": 15, "color": table.colour},
        text=[f"<b>{escape(title)}</b>" for title in table.title],
        textposition=[f"{up} {side}" for up, side in zip(above, beside, strict=True)],
        textfont={"size": TEXT},
        cliponaxis=False,
        customdata=table[["wilson_low", "wilson_high"]],
        hovertemplate="%{text}: %{y:.2%} accuracy<br>(95% interval: %{customdata[0]:.2%} to %{customdata[1]:.2%})"
        f"<br>{axis}: %{{x:,.3~r}}<extra></extra>",
    )
    line = {"color": GREY, "width": 3, "dash": "dot", "shape": "hv"}
    best = Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")
    room = max(0.2, 0.15 * (high - low))
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in (1, 3)]
    scale = {"type": "log", "range": [low - room, high + room], "tickvals": ticks}
    return plotting.figure(
        [best, points],
        title,
        "Dotted line: the best trade-offs",
        height=HEIGHT,
        xaxis=plotting.axis(axis) | scale | {"tickformat": "~s" if high > 4 else "~g"},
        yaxis=plotting.axis() | {"tickformat": "~%"},
    )


# Failures ------------------------------------------------------------------------------------------------------------


def confusion(counts: np.ndarray, title: str, colour: str, marked: tuple[int, int] | None = None) -> Figure:
    """A confusion matrix under a network's name, with a frame around a cell (true digit, predicted digit)."""
    figure, wrong = panels.confusion(counts, colour), counts.sum() - np.trace(counts)
    subtitle = f"<span style='font-size: {TEXT}px'>{wrong:,} of {counts.sum():,} digits misread</span>"
    figure.update_layout(title_text=f"<b>{escape(title)}</b><br>{subtitle}")
    if marked:
        true, predicted = marked
        frame = {"x0": predicted - 0.5, "x1": predicted + 0.5, "y0": true - 0.5, "y1": true + 0.5}
        figure.add_shape(type="rect", line={"color": panels.WRONG, "width": 4}, **frame)
    return figure


def digits(
    images: np.ndarray, captions: Sequence[str], tooltips: Sequence[str], numbers: np.ndarray, title: str
) -> Figure:
    """A sheet of digits with a caption below each.

    Args:
        images: `uint8[N, 28, 28]`.
        captions: below the digits, in Plotly's HTML, two lines of seven letters.
        tooltips: of the digits.
        numbers: `int64[N]`; a click on a digit comes with its number as `customdata`.
        title: of the figure.
    """
    left, top = plotting.places(len(images), COLUMNS, CELL, ROW)
    sheet = plotting.tile(plotting.opaque(images), COLUMNS, 0, right=CELL - SIDE, below=ROW - SIDE)
    cells = plotting.hover_cells(tooltips, COLUMNS, CELL, ROW, SIDE / 2, ROW / 2, numbers)
    words = plotting.labels(left + SIDE / 2, top + SIDE + 2, captions, "bottom center")
    picture = Image(source=plotting.png(sheet), x0=0.5, y0=0.5, hoverinfo="skip")
    figure = plotting.pictures(
        [picture, words, cells],
        title,
        "Click a digit to open it in Look inside",
        COLUMNS * CELL,
        math.ceil(len(images) / COLUMNS) * ROW,
    )
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def reliability(networks: Sequence[tuple[str, str, pd.DataFrame]]) -> Figure:
    """A reliability diagram: accuracy against confidence.

    Args:
        networks: the title, the colour and the table of `calibration.reliability` of each network. Bins with less than
            FEWEST digits are left out.
    """
    lines = []
    used: Counter[str] = Counter()  # a visitor's run has the colour of a shipped network
    for (title, colour, bins), symbol in zip(networks, cycle(curves.SYMBOLS), strict=False):
        table, dash = bins[bins.digits >= FEWEST], curves.DASHES[used[colour] % len(curves.DASHES)]
        used[colour] += 1
        line = Scatter(
            x=table.confidence,
            y=table.accuracy,
            name=escape(title),
            mode="lines+markers",
            line={"color": colour, "width": 3, "dash": dash},
            marker={"symbol": symbol, "size": 6 + 3 * np.log10(table.digits)},
            customdata=table[["low", "high", "digits"]],
            hovertemplate=f"<b>{escape(title)}</b>, %{{customdata[0]:.0%}} to %{{customdata[1]:.0%}} confidence: "
            "%{customdata[2]:,} digits<br>mean confidence %{x:.1%}, accuracy %{y:.1%}<extra></extra>",
        )
        lines.append(line)
    least = min((value for line in lines for value in (*line.x, *line.y)), default=0.0)  # nothing lies below
    scale = {"tickformat": "~%", "range": [least - 0.03, 1.03]}
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="perfect calibration")
    return plotting.figure(
        [ideal, *lines],
        "Reliability diagram",
        "Is the confidence right? Below the line: too high",
        xaxis=plotting.axis("Confidence") | scale,
        yaxis=plotting.axis("Accuracy") | scale,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"},
    )
