"""Networks side by side, as figures: tables or arrays in, Plotly figure out.

Colours of text, grid and ground are left open, as in `atelier.figures`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import cycle

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import curves, plotting
from atelier.figures.plotting import TEXT

COLUMNS = 6  # of a sheet of digits
FEWEST = 10  # digits of a bin of a reliability diagram
CELL, ROW = SIDE + 6, SIDE + 30  # of a digit with what is told of it: width and height in pixels of the digit
GREY = "rgba(128, 128, 128, 0.8)"
COSTS = {  # what accuracy is drawn against: the figure's title, the axis
    "latency_p50_ms": ("Are quick answers worse?", "Milliseconds for one digit"),
    "parameters": ("Is a larger network better?", "Parameters"),
    "training_seconds": ("Does long training pay?", "Seconds of training"),
}
HEIGHT = 380  # pixels, of a figure of these


# Leaderboard ---------------------------------------------------------------------------------------------------------


def pareto(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """`bool[N]`: which of N networks no other beats. One that beats another is no dearer and no worse, and in one of
    both it is better."""
    no_dearer, no_worse = cost[:, None] <= cost, accuracy[:, None] >= accuracy
    better = (cost[:, None] < cost) | (accuracy[:, None] > accuracy)
    return ~(no_dearer & no_worse & better).any(axis=0)


def trade_offs(table: pd.DataFrame) -> dict[str, Figure]:
    """`trade_off` for each of COSTS, as far as two networks or more can be compared in it: their costs are known, and
    they were trained on the same device.

    Args:
        table: the leaderboard's, with `title` and `colour`.
    """
    trained = table[table.training_device == table.training_device.mode().max()]
    shown = {cost: trained if cost == "training_seconds" else table for cost in COSTS}
    shown = {cost: rows[rows[cost] > 0] for cost, rows in shown.items()}
    return {cost: trade_off(rows, cost, *COSTS[cost]) for cost, rows in shown.items() if len(rows) > 1}


def trade_off(table: pd.DataFrame, cost: str, title: str, axis: str) -> Figure:
    """Accuracy against a cost on a logarithmic axis, a point a network, and the Pareto front.

    Args:
        table: a row a network with `title`, `colour`, `accuracy`, `wilson_low` and `wilson_high` (0 to 1) and the cost,
            above 0.
        cost: its column.
        title: of the figure.
        axis: the cost's name and unit.
    """
    front = table[pareto(table[cost].to_numpy(), table.accuracy.to_numpy())].sort_values(cost)
    x = [front[cost].min(), *front[cost], table[cost].max()]  # all within its corner is beaten
    y = [table.wilson_low.min(), *front.accuracy, front.accuracy.max()]
    low, high = np.log10(table[cost].min()), np.log10(table[cost].max())
    beside = np.where(np.log10(table[cost]) < (low + high) / 2, "right", "left")  # so that names keep apart
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
        hovertemplate="%{text}: %{y:.2%} right<br>(95% interval: %{customdata[0]:.2%} to %{customdata[1]:.2%})"
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
        "Dotted: nothing is both cheaper and better",
        height=HEIGHT,
        xaxis=plotting.axis(axis) | scale | {"tickformat": "~s" if high > 4 else "~g"},
        yaxis=plotting.axis() | {"tickformat": "~%"},
    )


# Where they fail -----------------------------------------------------------------------------------------------------


def confusion(counts: np.ndarray, title: str, colour: str, marked: tuple[int, int] | None = None) -> Figure:
    """`curves.confusion` under a network's name; one cell (true digit, guess) can be framed."""
    figure, wrong = curves.confusion(counts, colour), counts.sum() - np.trace(counts)
    told = f"<span style='font-size: {TEXT}px'>{wrong:,} of {counts.sum():,} digits misread</span>"
    figure.update_layout(title_text=f"<b>{escape(title)}</b><br>{told}")
    if marked:
        true, guess = marked
        frame = {"x0": guess - 0.5, "x1": guess + 0.5, "y0": true - 0.5, "y1": true + 0.5}
        figure.add_shape(type="rect", line={"color": curves.WRONG, "width": 4}, **frame)
    return figure


def digits(images: np.ndarray, texts: Sequence[str], told: Sequence[str], numbers: np.ndarray, title: str) -> Figure:
    """A sheet of digits with a few words beneath each.

    Args:
        images: `uint8[N, 28, 28]`.
        texts: what stands beneath each, in HTML as Plotly knows it: two lines of seven letters.
        told: what the mouse hears of each.
        numbers: `int64[N]`; a click on a digit comes with its number as `customdata`.
        title: of the figure.
    """
    left, top = plotting.places(len(images), COLUMNS, CELL, ROW)
    sheet = plotting.tiled(images, COLUMNS, 0, right=CELL - SIDE, below=ROW - SIDE)
    shown = plotting.tiled(np.full_like(images, 255), COLUMNS, 0, right=CELL - SIDE, below=ROW - SIDE)
    rows = len(set(top))
    blanks = COLUMNS * rows - len(images)
    cells = Heatmap(  # nothing to see, but the mouse hears of it
        z=np.append(np.zeros(len(images)), np.full(blanks, np.nan)).reshape(rows, COLUMNS),
        x0=SIDE / 2,
        dx=CELL,
        y0=ROW / 2,
        dy=ROW,
        text=np.append(np.array(told, object), [""] * blanks).reshape(rows, COLUMNS),
        customdata=np.append(numbers, [0] * blanks).reshape(rows, COLUMNS),
        colorscale=[[0, "rgba(0, 0, 0, 0)"], [1, "rgba(0, 0, 0, 0)"]],
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{text}<extra></extra>",
    )
    words = Scatter(
        x=left + SIDE / 2,
        y=top + SIDE + 2,
        text=texts,
        mode="text",
        textposition="bottom center",
        textfont={"size": TEXT},
        hoverinfo="skip",
        cliponaxis=False,
    )
    picture = Image(source=plotting.png(np.stack([sheet, sheet, sheet, shown], -1)), x0=0.5, y0=0.5, hoverinfo="skip")
    figure = plotting.pictures(
        [picture, words, cells], title, "A click opens one in Look inside", COLUMNS * CELL, rows * ROW
    )
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def reliability(networks: Sequence[tuple[str, str, pd.DataFrame]]) -> Figure:
    """How often networks are right against how sure they are.

    Args:
        networks: of each its title, its colour, and a table from `calibration.reliability`; bins of less than
            FEWEST digits are left out, for they tell more of chance than of the network.
    """
    lines, seen = [], Counter()  # own runs have the colour of a shipped network
    for (title, colour, bins), symbol in zip(networks, cycle(curves.SYMBOLS), strict=False):
        table, dash = bins[bins.digits >= FEWEST], curves.DASHES[seen[colour] % len(curves.DASHES)]
        seen[colour] += 1
        line = Scatter(
            x=table.confidence,
            y=table.accuracy,
            name=escape(title),
            mode="lines+markers",
            line={"color": colour, "width": 3, "dash": dash},
            marker={"symbol": symbol, "size": 6 + 3 * np.log10(table.digits)},
            customdata=table[["low", "high", "digits"]],
            hovertemplate=f"<b>{escape(title)}</b>, %{{customdata[0]:.0%}} to %{{customdata[1]:.0%}} sure: "
            "%{customdata[2]:,} digits<br>%{x:.1%} sure on average, %{y:.1%} right<extra></extra>",
        )
        lines.append(line)
    least = min((value for line in lines for value in (*line.x, *line.y)), default=0.0)  # all below would be empty
    scale = {"tickformat": "~%", "range": [least - 0.03, 1.03]}
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name="as right as sure")
    return plotting.figure(
        [ideal, *lines],
        "How right, when so sure?",
        "Below the dotted line: too sure · larger: more digits",
        xaxis=plotting.axis("How sure it is") | scale,
        yaxis=plotting.axis("How often it is right") | scale,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"},
    )
