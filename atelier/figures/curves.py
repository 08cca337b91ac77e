"""What a network learns, as figures: DataFrame or array in, Plotly figure out.

Colours of text, grid and ground are left open: whoever shows the figure fills them in, light or dark. So faint values
fade into the ground. A grid of small pictures is one trace, whatever their number.
"""

import math
from collections import Counter
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import plotting
from atelier.figures.plotting import TEXT
from atelier.zoo import MODELS

POINTS = 500  # of a curve: a figure shows no more
COLUMNS = 4  # of a sheet of digits
WRONG = "#E5484D"  # can be read on light and dark; a cross says the same without colour

Over = Literal["step", "epoch", "seconds"]
AXES = {"step": "Optimiser steps", "epoch": "Epochs", "seconds": "Seconds of training"}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")  # these tell runs of the same network apart,
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")  # and these


# Curves --------------------------------------------------------------------------------------------------------------


def curves(events: pd.DataFrame, value: Literal["loss", "accuracy"], over: Over, log: bool = False) -> Figure:
    """How loss or accuracy went, a colour a network: bold for the validation digits, thin for the training digits.

    Args:
        events: rows in the order of time with `run` (its name on the page), `model` (its name in MODELS), `split`
            ("train" or "val"; others are left out), `step`, `epoch`, `seconds`, `loss` and `accuracy` (0 to 1).
            Without rows the figure is empty.
        value: accuracies are shown in percent.
        over: "seconds" is the honest comparison of networks whose steps cost different time.
        log: a logarithmic axis for the loss; accuracies stay linear.
    """
    measured = "loss %{y:.4f} on" if value == "loss" else "%{y:.2%} right of"
    lines = {}  # by run and split; validation on top
    for split, digits in (("train", "training"), ("val", "validation")):
        for run, style in _styles(events).items():
            points = events[(events.run == run) & (events.split == split)]
            if len(points):
                lines[run, split] = _line(points, over, value, style, f"{measured} the {digits} digits")
    for line in {run: line for (run, _), line in lines.items()}.values():  # one of each run, the bold one if there
        line.showlegend = True
    accuracy = value == "accuracy"
    logarithmic = {"type": "log", "tickvals": [m * 10.0**e for e in range(-6, 3) for m in (1, 3)], "tickformat": "~g"}
    scale = {"tickformat": "~%"} if accuracy else logarithmic if log else {}
    if not lines:
        scale["range"] = [0, 1]
    return plotting.figure(
        list(lines.values()),
        "Accuracy: higher is better" if accuracy else "Loss: lower is better",
        "Bold: validation digits · thin: training digits",
        xaxis=plotting.axis(AXES[over]),
        yaxis=plotting.axis() | scale,
        showlegend=events.run.nunique() > 1,
        legend={"orientation": "h", "x": 0, "y": -0.45, "yanchor": "top", "tracegroupgap": 0, "uirevision": "kept"},
        uirevision=f"{value} {over} {log}",  # other axes, other zoom
    )


def rate(events: pd.DataFrame, over: Over) -> Figure:
    """The learning rate as it went; `events` as for `curves`, with `learning_rate`."""
    events = events[events.split == "train"]
    return plotting.figure(
        [
            _line(events[events.run == run], over, "learning_rate", style, "learning rate %{y:.3g}")
            for run, style in _styles(events).items()
        ],
        "Learning rate",
        "How far each step moves the weights",
        xaxis=plotting.axis(AXES[over]),
        yaxis=plotting.axis() | {"tickformat": "~g", "rangemode": "tozero"},
        uirevision=over,
    )


def _styles(events: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Colour, dash and symbol by run."""
    styles, seen = {}, Counter()
    for run, model in events[["run", "model"]].drop_duplicates("run").itertuples(index=False):
        number = seen[model] % len(DASHES)
        styles[run] = {"color": MODELS[model].colour, "dash": DASHES[number], "symbol": SYMBOLS[number]}
        seen[model] += 1
    return styles


def _line(points: pd.DataFrame, over: Over, value: str, style: dict[str, str], told: str) -> Scatter:
    """One run's events of one split; `told` is what the mouse hears of a point."""
    run, split = points[["run", "split"]].iloc[0]
    bold = split == "val"
    every = 2 ** max(0, math.ceil(math.log2(len(points) / POINTS)))  # a power of two: what is drawn seldom changes
    points = points.iloc[sorted({*range(0, len(points), every), len(points) - 1})]
    return Scatter(
        x=points[over].to_numpy(np.float32),
        y=points[value].to_numpy(np.float32),
        customdata=points[["epoch", "seconds", "step"]].to_numpy(np.float32),
        hovertemplate="<b>%{fullData.name}</b><br>"
        + told
        + "<br>epoch %{customdata[0]:.1f} · %{customdata[1]:.1f} s · "
        "step %{customdata[2]:,.0f}<extra></extra>",
        name=escape(run),
        legendgroup=run,
        uid=f"{run} {split}",  # what is hidden in the legend stays hidden while other lines come and go
        showlegend=False,
        mode="lines+markers" if bold else "lines",
        line={"color": style["color"], "dash": style["dash"], "width": 4 if bold else 1.5},
        marker={"symbol": style["symbol"], "size": 10},
        opacity=1 if bold else 0.6,
    )


# Digits --------------------------------------------------------------------------------------------------------------


def guesses(digits: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, colour: str) -> Figure:
    """Digits, each with the network's guess and confidence beneath; wrong ones are framed and crossed.

    Args:
        digits: `uint8[N, 28, 28]`.
        labels: `int64[N]`, the true digits.
        probabilities: `float32[N, 10]`.
        colour: the network's.

    A click on a digit comes with its index as `customdata`.
    """
    width, height = SIDE + 6, SIDE + 16  # of a digit and what is told of it, in pixels of the digit
    said, sure = probabilities.argmax(1), probabilities.max(1)
    right = said == labels
    left, top = plotting.places(len(digits), COLUMNS, width, height)
    end, bar = left + SIDE, top + SIDE + 4
    texts = [
        f"{'' if ok else '✗ '}<b>{digit}</b> {share:.0%}" for digit, share, ok in zip(said, sure, right, strict=True)
    ]
    told = [
        f"This is a {label}. The network says {digit},<br>{share:.1%} sure: {'right' if ok else 'wrong'}."
        for label, digit, share, ok in zip(labels, said, sure, right, strict=True)
    ]
    return plotting.pictures(
        [
            _sheet(digits, width, height),
            plotting.lines(np.stack([left, bar, end, bar], 1).reshape(-1, 2, 2), "rgba(128, 128, 128, 0.3)", 6),
            plotting.lines(np.stack([left, bar, left + SIDE * sure, bar], 1).reshape(-1, 2, 2), colour, 6),
            plotting.lines(plotting.rectangles(left - 1, top - 1, end + 1, top + SIDE + 1)[~right], WRONG, 4),
            Scatter(x=left + SIDE / 2, y=top + SIDE + 10, text=texts, mode="text", hoverinfo="skip"),
            plotting.sensor(told, COLUMNS, width, height, SIDE / 2, height / 2),
        ],
        f"{right.sum()} of {len(digits)} read right",
        "Bar: how sure it is · red frame and ✗: wrong",
        COLUMNS * width,
        len(set(top)) * height,
    )


def attention(digits: np.ndarray, attention: np.ndarray) -> Figure:
    """Digits with the ViT's attention laid over them.

    Args:
        digits: `uint8[N, 28, 28]`.
        attention: `float32[N, g, g]`, how much of its attention the network gives to each patch.
    """
    patch = SIDE / attention.shape[1]
    width = round(SIDE + patch)  # digits lie one patch apart, so that all patches are cells of one grid
    overlay = Heatmap(
        z=100 * plotting.tiled(attention, COLUMNS, np.nan),
        x0=patch / 2,
        y0=patch / 2,
        dx=patch,
        dy=patch,
        customdata=plotting.tiled(plotting.numbered(*attention.shape), COLUMNS, 0),
        hovertemplate="Digit %{customdata[0]}, patch in row %{customdata[1]}, column %{customdata[2]}:<br>"
        "%{z:.1f}% of the attention<extra></extra>",
        zmin=0,
        zmax=100 * plotting.strong(attention),
        colorscale=plotting.fading(MODELS["vit"].colour, 0, 0.9),
        colorbar=plotting.bar("share of the attention", ticksuffix="%"),
    )
    return plotting.pictures(
        [_sheet(digits // 2, width, width), overlay],  # darker, so that the colour shows
        "Where the ViT looks",
        "The stronger the colour, the more it counts",
        COLUMNS * width,
        math.ceil(len(digits) / COLUMNS) * width,
    )


def boxes(scene: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, colour: str) -> Figure:
    """A scene with the boxes that the detector draws, what it takes each for and how surely.

    Args:
        scene: `uint8[H, W]`.
        boxes: `float32[K, 4]`, left, top, right, bottom in pixels.
        labels: `int64[K]`, 0 to 9.
        scores: `float32[K]`, 0 to 1.
        colour: the network's.
    """
    height, width = scene.shape
    notes = [
        {"x": (left + right) / 2, "y": y, "yanchor": anchor, "text": text, "hovertext": f"A {label}, {score:.1%} sure"}
        for (left, top, right, bottom), label, score in zip(boxes, labels, scores, strict=True)
        for y, anchor, text in ((top, "bottom", f"<b>{label}</b>"), (bottom, "top", f"{score:.0%}"))
    ]
    figure = plotting.pictures(
        [
            Image(source=plotting.png(scene), x0=0.5, y0=0.5, hoverinfo="skip"),
            plotting.lines(plotting.rectangles(*boxes.T), colour, 4),
        ],
        f"{len(boxes)} digit{'' if len(boxes) == 1 else 's'} found" if len(boxes) else "No digit found",
        "Above each box: what it reads · below: how sure",
        width,
        height,
    )
    figure.update_layout(annotations=notes)
    return figure.update_annotations(showarrow=False, bgcolor=colour, font={"color": "black"}, borderpad=1)


def confusion(matrix: np.ndarray, colour: str) -> Figure:
    """How often each digit was taken for each. A count is printed in each cell that has one; single errors show.

    Args:
        matrix: `int64[10, 10]`, a row a true digit, a column a guess.
        colour: the network's.

    A click on a cell comes with the guess as `x` and the true digit as `y`.
    """
    counts = np.asarray(matrix)
    shade = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
    most = max(1.0, math.log10(max(1, counts.sum(1).max())))  # all of a digit, so that shades keep their meaning
    told = [
        [
            f"{true}s {'read right' if true == said else f'taken for {said}'}: {count} of {row.sum()}"
            for said, count in enumerate(row)
        ]
        for true, row in enumerate(counts)
    ]
    truth, guess = np.nonzero(counts)
    found = counts[truth, guess]
    dark = np.log10(found) > 0.8 * most  # cells in full colour want black letters on any page
    cells = Heatmap(
        z=shade,
        zmin=0,
        zmax=most,
        text=told,
        hovertemplate="%{text}<extra></extra>",
        xgap=2,
        ygap=2,
        colorscale=plotting.fading(colour, 0.2, 1),
        showscale=False,  # the counts say it
    )
    numbers = [
        Scatter(x=guess[of], y=truth[of], text=found[of], mode="text", hoverinfo="skip", textfont=font)
        for of, font in ((~dark, {"size": TEXT}), (dark, {"size": TEXT, "color": "black"}))
    ]
    digits = {"tickvals": list(range(10)), "fixedrange": True, "showgrid": False, "automargin": True}
    return plotting.figure(
        [cells, *numbers],
        "What is taken for what",
        "Read right: the diagonal. All else: mistakes",
        xaxis=digits | {"title": {"text": "Guess"}, "constrain": "domain", "range": [-0.5, 9.5]},
        yaxis=digits
        | {"title": {"text": "True digit"}, "scaleanchor": "x", "constrain": "domain", "range": [9.5, -0.5]},
        dragmode=False,
    )


# What is inside ------------------------------------------------------------------------------------------------------


def filters(filters: np.ndarray, colour: str, moved: bool = False) -> Figure:
    """The filters of a convolution, on one scale around zero.

    Args:
        filters: `float32[K, h, w]`.
        colour: the network's, for weights above zero; those below are grey.
        moved: whether `filters` are not the weights, but how far these have moved since the start.
    """
    if moved:
        title, subtitle = "How its filters have moved", "Since the start: colour went up, grey down"
    else:
        title, subtitle = "The filters it is learning", "Colour counts for, grey counts against"
    unit = "change since the start" if moved else "weight"
    columns = math.ceil(math.sqrt(len(filters)))
    most = plotting.strong(np.abs(filters)) or 1.0  # at the start nothing has moved
    weights = plotting.tiled(filters, columns, np.nan)
    shown = Heatmap(
        z=weights,
        x0=0.5,
        y0=0.5,
        zmin=-most,
        zmax=most,
        customdata=plotting.tiled(plotting.numbered(*filters.shape), columns, 0),
        hovertemplate="Filter %{customdata[0]}, row %{customdata[1]}, column %{customdata[2]}:<br>"
        f"{unit} %{{z:.3f}}<extra></extra>",
        colorscale=plotting.signed(colour),
        colorbar=plotting.bar(unit),
    )
    height, width = weights.shape
    left, top = plotting.places(len(filters), columns, filters.shape[2] + 1, filters.shape[1] + 1)
    frames = plotting.lines(
        plotting.rectangles(left, top, left + filters.shape[2], top + filters.shape[1]), "rgba(128, 128, 128, 0.6)", 1
    )
    return plotting.pictures([shown, frames], title, subtitle, width, height)


def position_similarity(similarity: np.ndarray) -> Figure:
    """How alike the ViT's embeddings of any two positions are: a map for each (arXiv:2010.11929, figure 7).

    Args:
        similarity: `float32[P, P]`, cosines (-1 to 1) between the P patches, row by row; P is a square number.
    """
    side = math.isqrt(len(similarity))
    maps = plotting.tiled(similarity.reshape(-1, side, side), side, np.nan)
    shown = Heatmap(
        z=maps,
        x0=0.5,
        y0=0.5,
        zmin=-1,
        zmax=1,
        customdata=plotting.tiled(plotting.numbered(side, side, side, side).reshape(-1, side, side, 4), side, 0),
        hovertemplate="Patch in row %{customdata[0]}, column %{customdata[1]}<br>and patch in row %{customdata[2]}, "
        "column %{customdata[3]}:<br>similarity %{z:.2f}<extra></extra>",
        colorscale="Viridis",
        colorbar=plotting.bar("similarity", tickvals=[-1, 0, 1]),
    )
    height, width = maps.shape
    return plotting.pictures(
        [shown], "Which places does it find alike?", "One map for each patch of the picture", width, height
    )


# Parts ---------------------------------------------------------------------------------------------------------------


def _sheet(digits: np.ndarray, width: int, height: int) -> Image:
    """All digits as one picture, each at the left top of a cell; transparent between them."""
    inked = np.stack([*[digits] * 3, np.full_like(digits, 255)], -1)
    pixels = plotting.tiled(inked, COLUMNS, 0, right=width - SIDE, below=height - SIDE)
    return Image(source=plotting.png(pixels), x0=0.5, y0=0.5, hoverinfo="skip")
