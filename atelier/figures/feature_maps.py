"""What convolutions see, as figures: arrays in, Plotly figure out.

Colours of text, grid and ground are left open, as in `atelier.figures`.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from plotly.graph_objects import Bar, Figure, Heatmap, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import plotting

if TYPE_CHECKING:
    from atelier.explain.convolutions import PixelArithmetic

COLUMNS = 8  # of a sheet of maps
PRINTED = 5  # rows and columns up to which each number of a window is printed
FINEST = 64  # rows and columns of a map in a sheet: more are not seen
GAP, LINE = 6, 5  # between digits, and a line above them, in pixels of a digit
FROZEN, CHOSEN = "#8A94A0", "#FF3B30"
FOR, AGAINST = "#F4A100", "#3E8EDE"  # of evidence with a sign; seen on grey ink and black, and by colour-blind people


def sheet(
    maps: np.ndarray, channels: np.ndarray, chosen: int | None, title: str, subtitle: str, unit: str, colour: str
) -> Figure:
    """Maps, or filters, as a grid of small pictures on one scale around zero.

    Args:
        maps: `float32[K, h, w]`.
        channels: `int64[K]`, their numbers in the layer, from 0.
        chosen: the one that gets a frame.
        unit: what the numbers are.
        colour: the network's.

    A click on a map comes with its channel as `customdata`.
    """
    apart, highest = math.ceil(max(maps.shape[1:]) / FINEST), maps.max((1, 2))
    maps = maps[:, ::apart, ::apart]
    count, height, width = maps.shape
    columns = min(COLUMNS, count)
    left, top = plotting.places(count, columns, width + 1, height + 1)
    tiles = plotting.tiled(maps, columns, np.nan)
    cells = plotting.tiled(channels.astype(float).reshape(-1, 1, 1), columns, np.nan, right=0, below=0)
    strongest = plotting.tiled(highest.reshape(-1, 1, 1), columns, np.nan, right=0, below=0)
    sensor = Heatmap(  # nothing to see, but one place to click for each map: far fewer numbers than one for each pixel
        z=strongest,
        customdata=cells,
        text=[["" if np.isnan(cell) else f"{cell + 1:.0f}" for cell in row] for row in cells],
        x0=width / 2,
        dx=width + 1,
        y0=height / 2,
        dy=height + 1,
        colorscale=plotting.fading(colour, 0, 0),
        showscale=False,
        hovertemplate="Number %{text}: its highest is %{z:.2f}<extra></extra>",
    )
    frames = plotting.rectangles(left, top, left + width, top + height)
    return plotting.pictures(
        [
            _signed(tiles, colour, _strong(maps), colorbar=plotting.bar(unit), hoverinfo="skip"),
            plotting.lines(frames, "rgba(128, 128, 128, 0.6)", 1),
            plotting.lines(frames[channels == chosen], CHOSEN, 4),
            sensor,
        ],
        title,
        subtitle,
        tiles.shape[1] - 1,
        tiles.shape[0] - 1,
    )


def enlarged(
    maps: Sequence[np.ndarray],
    titles: Sequence[str],
    pixel: tuple[int, int] | None,
    title: str,
    unit: str,
    colour: str,
    subtitle: str = "",
) -> Figure:
    """One map, large, or what a step makes of it: before and after, side by side, on one scale.

    Args:
        maps: `float32[h, w]` each; drawn equally high.
        titles: above each.
        pixel: row and column, from 0, that get a frame in the last of them.

    A click on a number comes with its row and column as `point`.
    """
    high = max(len(one) for one in maps)
    most = max(map(_strong, maps))
    traces, x = [], 0.0
    for one, name in zip(maps, titles, strict=True):
        scale = high / len(one)
        shown = _signed(
            one,
            colour,
            most,
            x0=x + scale / 2,
            dx=scale,
            y0=scale / 2,
            dy=scale,
            customdata=plotting.numbered(*one.shape),
            hovertemplate="Row %{customdata[0]}, column %{customdata[1]}: %{z:.3f}<extra></extra>",
            colorbar=plotting.bar(unit),
            showscale=one is maps[-1],
        )
        traces += [shown, _text([x + scale * one.shape[1] / 2], [-0.08 * high], [name])]
        start, x = x, x + scale * one.shape[1] + high / 8
    if pixel is not None:
        row, column = pixel
        corners = (start + scale * column, scale * row, start + scale * (column + 1), scale * (row + 1))
        traces.append(plotting.lines(plotting.rectangles(*np.array(corners)[:, None]), CHOSEN, 4))
    figure = plotting.pictures(traces, title, subtitle, x - high / 8, high)
    return figure.update_yaxes(range=[1.02 * high, (-0.16 if any(titles) else -0.02) * high])


def field(digit: np.ndarray, sides: tuple[float, float, float, float], title: str, subtitle: str) -> Figure:
    """The part of a digit `uint8[28, 28]` that a number sees, framed.

    Args:
        sides: left, top, right and bottom of the part, in pixels of the digit.
    """
    shown = Heatmap(
        z=digit,
        x0=0.5,
        y0=0.5,
        customdata=plotting.numbered(*digit.shape),
        hovertemplate="Row %{customdata[0]}, column %{customdata[1]}: %{z} of 255<extra></extra>",
        colorscale=[[0, "#000000"], [1, "#FFFFFF"]],
        showscale=False,
    )
    frame = plotting.lines(plotting.rectangles(*np.array(sides)[:, None]), CHOSEN, 4)
    return plotting.pictures([shown, frame], title, subtitle, SIDE, SIDE)


def arithmetic(spelt: "PixelArithmetic", names: Sequence[str], colour: str) -> Figure:
    """A number of a convolution, spelt out: for each input map a window, the filter and the products.

    Args:
        names: of the input maps.
    """
    count, height, width = spelt.windows.shape
    above = max(1, height // 3)  # rows of room for a map's name
    apart = width + max(1, width // 3)
    printed = {"texttemplate": "%{z:.2f}"} if height <= PRINTED else {}
    traces = []
    for place, (name, cells) in enumerate(
        (("covers", spelt.windows), ("filter", spelt.filters), ("product", spelt.products))
    ):
        traces.append(
            _signed(
                plotting.tiled(cells, 1, np.nan, right=0, below=above),
                colour,
                _strong(cells),
                x0=place * apart + 0.5,
                y0=above + 0.5,
                xgap=1,
                ygap=1,
                showscale=False,  # the numbers are printed, or the title tells what full colour is
                hovertemplate=f"{name} %{{z:.3f}}<extra></extra>",
                **printed,
            )
        )
    rows = np.arange(count) * (height + above) + above
    sums = [f"<b>sum {total:+.2f}</b>" for total in spelt.products.sum((1, 2))]
    for place, sign in ((1, "×"), (2, "=")):
        between = place * apart - (apart - width) / 2
        traces.append(_text(np.full(count, between), rows + height / 2, [sign] * count))
    for left, texts in ((0, names), (2 * apart, sums)):
        traces.append(_text(np.full(count, left), rows - above / 2, texts, "middle right"))
    title, subtitle = "How does this number come about?", "Window × filter = products · grey: below zero"
    if not printed:
        window, weights, product = (f"{_strong(cells):.2f}" for cells in (spelt.windows, spelt.filters, spelt.products))
        subtitle += f"<br>Full colour: window {window}, filter {weights}, product {product}"
    figure = plotting.pictures(traces, title, subtitle, 2 * apart + width, count * (height + above))
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def evidence(
    digit: np.ndarray,
    heats: np.ndarray,
    titles: Sequence[str],
    title: str,
    subtitle: str,
    unit: str,
    colour: str | None,
) -> Figure:
    """What in a digit speaks for something, side by side on one scale.

    Args:
        digit: `uint8[28, 28]`.
        heats: `float32[K, 28, 28]`.
        titles: above each.
        unit: what the numbers are.
        colour: of heats that are never below zero; None for heats with a sign, which have a colour for each.
    """
    count, most = len(heats), _strong(heats)
    signed = colour is None
    width = SIDE + GAP
    picture = np.stack([*[digit // 2] * 3, np.full_like(digit, 255)], -1)  # darker, so that the colour shows
    overlay = Heatmap(
        z=plotting.tiled(heats, count, np.nan, right=GAP, below=0),
        x0=0.5,
        y0=0.5,
        customdata=plotting.tiled(plotting.numbered(*heats.shape), count, 0, right=GAP, below=0),
        hovertemplate="Row %{customdata[1]}, column %{customdata[2]}: %{z:.3f}<extra></extra>",
        zmin=-most if signed else 0,
        zmax=most,
        colorscale=_for_and_against() if signed else plotting.fading(colour, 0, 0.9),
        colorbar=plotting.bar(unit),
    )
    look = (AGAINST, plotting.ZERO, FOR) if signed else (plotting.ZERO, colour)
    pictures = plotting.tiled(np.stack([picture] * count), count, 0, right=GAP, below=0)
    figure = plotting.pictures(
        [
            Image(source=plotting.png(pictures), x0=0.5, y0=0.5, hoverinfo="skip"),
            *plotting.with_legend(overlay, *look),
            _text(np.arange(count) * width + SIDE / 2, [-1] * count, titles, "top center"),
        ],
        title,
        subtitle,
        count * width - GAP,
        SIDE,
    )
    lines = 1 + max(title.count("<br>") for title in titles)
    return figure.update_yaxes(range=[SIDE + 1, -2 - LINE * lines])


def distances(trained: Sequence[bool], moved: dict[int, float], colour: str) -> Figure:
    """How far the filters of each layer have moved from where they came.

    Args:
        trained: for each layer; the others are frozen.
        moved: by number of the layer, from 1, as a share of what the filters were; may lack trained layers.
        colour: the network's.
    """
    numbers = list(range(1, len(trained) + 1))
    told = [
        "❄ frozen" if not learnt else f"retrained: {moved[number]:.1%}" if number in moved else "retrained"
        for number, learnt in zip(numbers, trained, strict=True)
    ]
    shares = [moved.get(number, 0.0) for number in numbers]
    bars = Bar(
        x=shares,
        y=numbers,
        orientation="h",
        text=told,
        textposition="outside",
        cliponaxis=False,
        marker={"color": [colour if learnt else FROZEN for learnt in trained]},
        hovertemplate="Convolution %{y}: %{text}<extra></extra>",
    )
    return plotting.figure(
        [bars],
        "How far has each layer moved?",
        "Change, as a share of what its filters were",
        xaxis=plotting.axis() | {"tickformat": "~%", "range": [0, 1.6 * max(max(shares), 0.01)], "fixedrange": True},
        yaxis=plotting.axis("Convolution") | {"tickvals": numbers, "autorange": "reversed", "fixedrange": True},
    )


def _signed(numbers: np.ndarray, colour: str, most: float, **options) -> Heatmap:
    look = {"zmin": -most, "zmax": most, "colorscale": plotting.signed(colour)}
    return Heatmap(z=numbers, **look | {"x0": 0.5, "y0": 0.5} | options)


def _strong(numbers: np.ndarray) -> float:
    """The end of a scale around zero; 1 if there is nothing to see."""
    return float(np.abs(numbers).max()) or 1.0


def _for_and_against() -> list:
    against, speaks = plotting.fading(AGAINST, 0.95, 0), plotting.fading(FOR, 0, 0.95)
    return [[0, against[0][1]], [0.5, against[1][1]], [0.5, speaks[0][1]], [1, speaks[1][1]]]


def _text(x: Sequence[float], y: Sequence[float], text: Sequence[str], position: str = "middle center") -> Scatter:
    return Scatter(x=x, y=y, text=text, mode="text", textposition=position, hoverinfo="skip", cliponaxis=False)
