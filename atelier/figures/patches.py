"""Figures of a Vision Transformer: patches, embeddings, attention.

Token 0 is the class token, tokens 1 to P are the patches, row by row, g in a row. `colour` is the network's. Colours of
text, grid and background are left open, as in `atelier.figures.plotting`.
"""

import math
from typing import Any

import numpy as np
from plotly.graph_objects import Bar, Figure, Heatmap, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import plotting

TEXT = plotting.TEXT
GREY = "#7A8794"  # visible on light and dark
PITCH = SIDE + 4  # from one small picture to the next, in pixels of the digit
ASIDE = 10  # room for the class token beside a digit
LABELLED = 0.15  # probability from which a line has a label


# From patches to scores ----------------------------------------------------------------------------------------------


def patches(digit: np.ndarray, size: int) -> Figure:
    """A digit `uint8[28, 28]` cut into numbered squares of `size` pixels."""
    side = SIDE // size
    left, top = plotting.places(side**2, side, size, size)
    numbers = plotting.labels(left + size / 2, top + size / 2, [str(number) for number in range(1, side**2 + 1)])
    numbers.update(textfont={"color": "white", "size": min(TEXT, 130 // side)})
    cuts = plotting.lines(plotting.rectangles(left, top, left + size, top + size), GREY, 1)
    return plotting.pictures(
        [_digit(digit), cuts, numbers],
        "The digit as patches",
        f"Each patch has {size} × {size} pixels and a token",
        SIDE,
        SIDE,
    )


def vectors(values: np.ndarray, row: str, first: int, title: str, subtitle: str, colour: str) -> Figure:
    """Tokens as rows of numbers, on one scale around zero.

    Args:
        values: `float32[rows, D]`.
        row: the name of a row, such as "Patch".
        first: number of the first row.
    """
    most = plotting.robust_max(np.abs(values)) or 1.0
    shown = Heatmap(
        z=values,
        x0=1,
        y0=first,
        zmin=-most,
        zmax=most,
        colorscale=plotting.signed(colour),
        colorbar=plotting.colour_bar("value"),
        hovertemplate=f"{row} %{{y}}, number %{{x}}: %{{z:.2f}}<extra></extra>",
    )
    still = {"fixedrange": True, "showgrid": False}
    rows = {"range": [first + len(values) - 0.5, first - 0.5], **_whole_numbers(len(values))}
    return plotting.figure(
        [shown],
        title,
        subtitle,
        xaxis=still | {"visible": False},
        yaxis=plotting.axis(row) | still | rows,
        dragmode=False,
    )


def class_token_attention(digit: np.ndarray, maps: np.ndarray, colour: str) -> Figure:
    """The attention of the class token in each block.

    Args:
        digit: `uint8[28, 28]`.
        maps: `float[blocks, g, g]`, shares of the attention.
    """
    columns = math.ceil(math.sqrt(len(maps)))
    left, top = plotting.places(len(maps), columns, PITCH, PITCH)
    tooltip = (
        "Block %{customdata[0]}, patch in row %{customdata[1]}, column %{customdata[2]}:<br>%{z:.1f}%<extra></extra>"
    )
    names = plotting.labels(left + 1, top + 1, [str(block) for block in range(1, len(maps) + 1)], "bottom right")
    names.update(textfont={"color": "white"})
    return plotting.pictures(
        [*_overlays(digit, maps, columns, plotting.numbered(*maps.shape), tooltip, colour), names],
        "Attention of the class token",
        "One picture for each block",
        columns * PITCH,
        math.ceil(len(maps) / columns) * PITCH,
    )


def logits(logits: np.ndarray, colour: str) -> Figure:
    """The ten scores, `float32[10]`; the answer stands out."""
    answer = int(logits.argmax())
    bars = Bar(
        x=list(range(10)),
        y=logits,
        marker={"color": colour, "opacity": np.where(np.arange(10) == answer, 1, 0.4)},
        texttemplate="%{y:.1f}",
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        hovertemplate="Logit of %{x}: %{y:.2f}<extra></extra>",
    )
    return plotting.figure(
        [bars],
        "Ten scores, called logits",
        f"The highest score is the answer: {answer}",
        xaxis=plotting.axis("Digit") | {"dtick": 1, "fixedrange": True},
        yaxis=plotting.axis("Logit") | {"fixedrange": True},
        dragmode=False,
    )


# Attention -----------------------------------------------------------------------------------------------------------


def token_name(token: int) -> str:
    """The name of a token on pages."""
    return f"patch {token}" if token else "the class token"


def head_attention(digit: np.ndarray, maps: np.ndarray, token: int, chosen: tuple[int, int], colour: str) -> Figure:
    """The attention of a token in each layer and head, a small picture each; one has a frame.

    Args:
        digit: `uint8[28, 28]`.
        maps: `float[layers, heads, g, g]`, shares of the token's attention.
        token: its number.
        chosen: layer and head with the frame, counted from 1.

    A click comes with layer, head, row and column, counted from 1, as `customdata`.
    """
    layers, columns, side = maps.shape[:3]
    numbered = plotting.numbered(*maps.shape).reshape(-1, side, side, 4)
    tooltip = (
        "Layer %{customdata[0]}, head %{customdata[1]}<br>Patch in row %{customdata[2]}, column %{customdata[3]}: "
        f"%{{z:.1f}}%<br>All {side**2 + 1} tokens together: 100%<extra></extra>"
    )
    left, top = PITCH * (chosen[1] - 1), PITCH * (chosen[0] - 1)
    corners = np.array([left - 1.5]), np.array([top - 1.5]), np.array([left + SIDE + 1.5]), np.array([top + SIDE + 1.5])
    frame = plotting.lines(plotting.rectangles(*corners), colour, 4)
    return plotting.figure(
        [*_overlays(digit, maps.reshape(-1, side, side), columns, numbered, tooltip, colour), frame],
        f"Attention of {token_name(token)}",
        f"{layers} layers × {columns} heads · click one to enlarge it",
        xaxis=_picture_axis("Head", columns) | {"side": "top", "range": [-3, PITCH * columns]},
        yaxis=_picture_axis("Layer", layers) | {"range": [PITCH * layers, -3], "scaleanchor": "x"},
        margin={"l": 8, "r": 8, "t": 128, "b": 8},  # room for the axis on top
        dragmode=False,
    )


def token_attention(digit: np.ndarray, row: np.ndarray, token: int, layer: int, head: int, colour: str) -> Figure:
    """The attention of one token, large; the class token has a square beside the digit.

    Args:
        digit: `uint8[28, 28]`.
        row: `float32[tokens]`, the attention, sums to 1.
        token: its number; it has a frame.
        layer, head: counted from 1.

    A click comes with the token's number as `customdata`.
    """
    side = math.isqrt(len(row) - 1)
    size, maps = SIDE / side, row[1:].reshape(side, side)
    numbers = np.arange(1, len(row), dtype=np.int16).reshape(side, side)
    scale = {
        "zmin": 0,
        "zmax": 100 * float(maps.max()) or 1.0,
        "colorscale": plotting.fading(colour, 0, 0.9),
        "hovertemplate": f"%{{text}}: %{{z:.1f}}% of the attention of {token_name(token)}<br>"
        f"All {len(row)} tokens together: {row.sum():.0%}<extra></extra>",
    }
    patches = Heatmap(
        z=100 * maps,
        x0=ASIDE + size / 2,
        dx=size,
        y0=size / 2,
        dy=size,
        customdata=numbers,
        text=[[f"Patch {number}" for number in line] for line in numbers],
        colorbar=plotting.colour_bar("attention", ticksuffix="%"),
        **scale,
    )
    solid = scale | {"colorscale": [[0, plotting.ZERO], [1, colour]]}  # without a black picture below
    class_token = Heatmap(
        z=[[100 * row[0]]], x0=5, dx=6, y0=14, dy=6, customdata=[[0]], text=[["Class token"]], showscale=False, **solid
    )
    share = plotting.labels([5], [18], [f"class<br>token<br>{row[0]:.0%}"], "bottom center")
    left, top = plotting.places(len(row) - 1, side, size, size)
    squares = np.vstack([[2, 11, 8, 17], np.stack([left + ASIDE, top, left + ASIDE + size, top + size], axis=1)])
    frame = plotting.lines(plotting.rectangles(*squares[[token]].T), colour, 5)
    outline = plotting.lines(plotting.rectangles(*squares[[0]].T), GREY, 1)
    return plotting.pictures(
        [
            _digit(digit, ASIDE),
            *plotting.with_legend(patches, plotting.ZERO, colour),
            class_token,
            outline,
            frame,
            share,
        ],
        f"Layer {layer}, head {head}",
        f"Attention of {token_name(token)} (framed) · click another",
        ASIDE + SIDE,
        SIDE,
    )


def rollout(digit: np.ndarray, shares: np.ndarray, colour: str) -> Figure:
    """The shares `float32[g, g]` of the patches in the class token, over the digit `uint8[28, 28]`."""
    return _large(
        digit,
        100 * shares,
        "Attention rollout",
        "Attention traced through all layers",
        "%{z:.1f}% of the class token",
        plotting.colour_bar("share of the class token", ticksuffix="%"),
        colour,
    )


def gradient_rollout(digit: np.ndarray, support: np.ndarray, target: int, colour: str) -> Figure:
    """The support `float32[g, g]` of the patches for a class, as shares, over the digit `uint8[28, 28]`."""
    return _large(
        digit,
        100 * support / (support.sum() or 1.0),
        f"Gradient rollout for {target}",
        f"Only attention that supports {target}",
        f"%{{z:.1f}}% of the support for {target}",
        plotting.colour_bar(f"share of the support for {target}", ticksuffix="%"),
        colour,
    )


# Over the layers -----------------------------------------------------------------------------------------------------


def logit_lens(probabilities: np.ndarray, colour: str) -> Figure:
    """The probabilities after each block, `float32[depth + 1, 10]`: a line for each digit, with labels from 15% on.

    The line of the final answer is bold.
    """
    blocks, answer = np.arange(len(probabilities)), int(probabilities[-1].argmax())
    lines = [
        Scatter(
            x=blocks,
            y=shares,
            name=str(digit),
            mode="lines+markers+text",
            line={"color": colour if digit == answer else GREY, "width": 5 if digit == answer else 2},
            marker={
                "size": np.where(shares >= LABELLED, 24, 0),
                "color": colour if digit == answer else GREY,
                "opacity": 1,
            },
            text=np.where(shares >= LABELLED, f"<b>{digit}</b>", ""),
            textfont={"color": "black" if digit == answer else "white", "size": TEXT},
            zorder=int(digit == answer),  # on top
            cliponaxis=False,
            hovertemplate=f"{digit}: %{{y:.1%}}<extra></extra>",
        )
        for digit, shares in enumerate(probabilities.T)
    ]
    return plotting.figure(
        lines,
        "The answer after each block",
        f"A line for each digit · bold: the answer, {answer}",
        xaxis=plotting.axis("Blocks")
        | _whole_numbers(blocks[-1])
        | {"fixedrange": True, "range": _padded_range(0, blocks[-1])},
        yaxis=plotting.axis("Probability") | {"tickformat": "~%", "range": [-0.02, 1.05], "fixedrange": True},
        hovermode="x unified",
        dragmode=False,
    )


def attention_distances(distances: np.ndarray, uniform: float, colour: str) -> Figure:
    """The mean attention distance of each head, a dot each.

    Args:
        distances: `float[layers, heads]`, in pixels.
        uniform: the distance of a head with equal attention to all patches.
    """
    layers, heads = distances.shape
    layer, head = plotting.numbered(layers, heads).reshape(-1, 2).T
    dots = Scatter(
        x=layer,
        y=distances.ravel(),
        customdata=head,
        mode="markers",
        marker={"color": colour, "size": 14, "opacity": 0.8},
        hovertemplate="Layer %{x}, head %{customdata}: %{y:.1f} pixels<extra></extra>",
    )
    reference = Scatter(
        x=_padded_range(1, layers),
        y=[uniform] * 2,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2},
        hovertemplate=f"Uniform attention: {uniform:.1f} pixels<extra></extra>",
    )
    return plotting.figure(
        [reference, dots],
        "Attention distance of each head",
        "Dashed: uniform attention to all patches",
        xaxis=plotting.axis("Layer") | _whole_numbers(layers) | {"fixedrange": True, "range": _padded_range(1, layers)},
        yaxis=plotting.axis("Mean distance, pixels") | {"rangemode": "tozero", "fixedrange": True},
        dragmode=False,
    )


# Parts ---------------------------------------------------------------------------------------------------------------


def _digit(digit: np.ndarray, left: float = 0.0) -> Image:
    """The digit, darkened so that an overlay stands out."""
    return Image(source=plotting.png(digit // 2), x0=left + 0.5, y0=0.5, hoverinfo="skip")


def _overlays(
    digit: np.ndarray, maps: np.ndarray, columns: int, numbered: np.ndarray, tooltip: str, colour: str
) -> list:
    """A sheet of copies of the digit, each with one of `maps[N, g, g]` (shares) over it."""
    count, side = maps.shape[:2]
    across, down = columns, math.ceil(count / columns)
    copies = plotting.opaque(np.repeat(digit[None] // 2, count, axis=0))
    sheet = plotting.tile(copies, columns, 0, right=PITCH - SIDE, below=PITCH - SIDE)
    shares = plotting.tile(100 * maps, columns, np.nan)
    brightest = 100 * plotting.robust_max(maps) or 1.0
    x, y = ((PITCH * np.arange(n)[:, None] + np.linspace(0, SIDE, side + 1)).ravel() for n in (across, down))
    overlay = Heatmap(
        z=shares[:-1, :-1],  # without the last gaps
        x=x,  # edges of patches and of the gaps between digits
        y=y,
        customdata=plotting.tile(numbered, columns, 0)[:-1, :-1],
        hovertemplate=tooltip,
        hoverongaps=False,
        zmin=0,
        zmax=brightest,
        colorscale=plotting.fading(colour, 0, 0.9),
        colorbar=plotting.colour_bar(f"attention (brightest: {brightest:.0f}% or more)", ticksuffix="%"),
    )
    image = Image(source=plotting.png(sheet), x0=0.5, y0=0.5, hoverinfo="skip")
    return [image, *plotting.with_legend(overlay, plotting.ZERO, colour)]


def _large(
    digit: np.ndarray, values: np.ndarray, title: str, subtitle: str, tooltip: str, legend: dict, colour: str
) -> Figure:
    """A map `[g, g]` over the digit, on its own scale."""
    size = SIDE / len(values)
    overlay = Heatmap(
        z=values,
        x0=size / 2,
        dx=size,
        y0=size / 2,
        dy=size,
        customdata=np.arange(1, values.size + 1, dtype=np.int16).reshape(values.shape),
        hovertemplate=f"Patch %{{customdata}}: {tooltip}<extra></extra>",
        zmin=0,
        zmax=float(values.max()) or 1.0,
        colorscale=plotting.fading(colour, 0, 0.9),
        colorbar=legend,
    )
    traces = [_digit(digit), *plotting.with_legend(overlay, plotting.ZERO, colour)]
    return plotting.pictures(traces, title, subtitle, SIDE, SIDE)


def _picture_axis(title: str, count: int) -> dict[str, Any]:
    """An axis of small pictures, counted from 1."""
    ticks = {"tickvals": PITCH * np.arange(count) + SIDE / 2, "ticktext": list(range(1, count + 1))}
    still = {"fixedrange": True, "showgrid": False, "constrain": "domain"}
    return plotting.axis(title) | ticks | still


def _whole_numbers(count: int) -> dict[str, Any]:
    """Ticks at whole numbers: at each, if there are few."""
    return {"tickformat": "d"} | ({"dtick": 1} if count <= 12 else {})


def _padded_range(first: int, last: int) -> list[float]:
    """The range of an axis of whole numbers, with half a unit beside them."""
    return [first - 0.5, last + 0.5]
