"""Figures of convolutions: feature maps, filters, arithmetic, attributions.

`colour` is the network's. Colours of text, grid and background are left open, as in `atelier.figures.plotting`.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.graph_objects import Bar, Figure, Heatmap, Image

from atelier.data.mnist import SIDE
from atelier.figures import plotting

if TYPE_CHECKING:
    from atelier.explain.convolutions import PixelArithmetic

COLUMNS = 8  # of a sheet of maps
PRINTED = 5  # rows and columns of a window up to which its values are printed
FINEST = 64  # rows and columns of a map in a sheet: more are not visible
GAP, LINE = 6, 5  # between digits, and a line above them, in pixels of a digit
FROZEN, CHOSEN = "#8A94A0", "#FF3B30"
FOR, AGAINST = "#F4A100", "#3E8EDE"  # visible on grey ink and on black, and for colour-blind people


def sheet(
    maps: np.ndarray, channels: np.ndarray, chosen: int | None, title: str, subtitle: str, unit: str, colour: str
) -> Figure:
    """Feature maps or filters as a grid of small pictures, on one scale around zero.

    Args:
        maps: `float32[K, h, w]`.
        channels: `int64[K]`, their numbers in the layer, from 0.
        chosen: the channel with a frame.
        unit: of the values.

    A click on a map comes with its channel as `customdata`.
    """
    step, highest = math.ceil(max(maps.shape[1:]) / FINEST), maps.max((1, 2))
    maps = maps[:, ::step, ::step]
    count, height, width = maps.shape
    columns = min(COLUMNS, count)
    left, top = plotting.places(count, columns, width + 1, height + 1)
    tiles = plotting.tile(maps, columns, np.nan)
    tooltips = [f"Channel {number + 1}, maximum {value:.2f}" for number, value in zip(channels, highest, strict=True)]
    hover = plotting.hover_cells(tooltips, columns, width + 1, height + 1, width / 2, height / 2, channels)
    frames = plotting.rectangles(left, top, left + width, top + height)
    return plotting.pictures(
        [
            _signed(tiles, colour, _max_abs(maps), colorbar=plotting.colour_bar(unit), hoverinfo="skip"),
            plotting.lines(frames, "rgba(128, 128, 128, 0.6)", 1),
            plotting.lines(frames[channels == chosen], CHOSEN, 4),
            hover,
        ],
        title,
        subtitle,
        tiles.shape[1] - 1,
        tiles.shape[0] - 1,
    )


def large_maps(
    maps: Sequence[np.ndarray],
    titles: Sequence[str],
    pixel: tuple[int, int] | None,
    title: str,
    unit: str,
    colour: str,
    subtitle: str = "",
) -> Figure:
    """One map, or a map before and after a step, large, side by side, on one scale.

    Args:
        maps: `float32[h, w]` each; drawn equally high.
        titles: above each.
        pixel: row and column, from 0, of the value with a frame in the last map.

    A click on a value comes with its row and column as `point`.
    """
    high = max(len(one) for one in maps)
    most = max(map(_max_abs, maps))
    traces, x = [], 0.0
    for one, name in zip(maps, titles, strict=True):
        scale = high / len(one)
        heatmap = _signed(
            one,
            colour,
            most,
            x0=x + scale / 2,
            dx=scale,
            y0=scale / 2,
            dy=scale,
            customdata=plotting.numbered(*one.shape),
            hovertemplate="Row %{customdata[0]}, column %{customdata[1]}: %{z:.3f}<extra></extra>",
            colorbar=plotting.colour_bar(unit),
            showscale=one is maps[-1],
        )
        traces += [heatmap, plotting.labels([x + scale * one.shape[1] / 2], [-0.08 * high], [name])]
        start, x = x, x + scale * one.shape[1] + high / 8
    if pixel is not None:
        row, column = pixel
        corners = (start + scale * column, scale * row, start + scale * (column + 1), scale * (row + 1))
        traces.append(plotting.lines(plotting.rectangles(*np.array(corners)[:, None]), CHOSEN, 4))
    figure = plotting.pictures(traces, title, subtitle, x - high / 8, high)
    return figure.update_yaxes(range=[1.02 * high, (-0.16 if any(titles) else -0.02) * high])


def receptive_field(digit: np.ndarray, sides: tuple[float, float, float, float], title: str, subtitle: str) -> Figure:
    """A digit `uint8[28, 28]` with a frame around the receptive field of a value.

    Args:
        sides: left, top, right and bottom, in pixels of the digit.
    """
    pixels = Heatmap(
        z=digit,
        x0=0.5,
        y0=0.5,
        customdata=plotting.numbered(*digit.shape),
        hovertemplate="Row %{customdata[0]}, column %{customdata[1]}: %{z} of 255<extra></extra>",
        colorscale=[[0, "#000000"], [1, "#FFFFFF"]],
        showscale=False,
    )
    frame = plotting.lines(plotting.rectangles(*np.array(sides)[:, None]), CHOSEN, 4)
    return plotting.pictures([pixels, frame], title, subtitle, SIDE, SIDE)


def arithmetic(value: "PixelArithmetic", names: Sequence[str], colour: str) -> Figure:
    """The arithmetic of a value of a convolution: for each input map a window, the filter and the products.

    Args:
        names: of the input maps.
    """
    count, height, width = value.windows.shape
    above = max(1, height // 3)  # rows of room for a map's name
    apart = width + max(1, width // 3)
    printed = {"texttemplate": "%{z:.2f}"} if height <= PRINTED else {}
    traces = []
    for place, (name, cells) in enumerate(
        (("input", value.windows), ("filter", value.filters), ("product", value.products))
    ):
        traces.append(
            _signed(
                plotting.tile(cells, 1, np.nan, right=0, below=above),
                colour,
                _max_abs(cells),
                x0=place * apart + 0.5,
                y0=above + 0.5,
                xgap=1,
                ygap=1,
                showscale=False,  # the values are printed, or the subtitle gives the scale
                hovertemplate=f"{name} %{{z:.3f}}<extra></extra>",
                **printed,
            )
        )
    rows = np.arange(count) * (height + above) + above
    sums = [f"<b>sum {total:+.2f}</b>" for total in value.products.sum((1, 2))]
    for place, sign in ((1, "×"), (2, "=")):
        between = place * apart - (apart - width) / 2
        traces.append(plotting.labels(np.full(count, between), rows + height / 2, [sign] * count))
    for left, texts in ((0, names), (2 * apart, sums)):
        traces.append(plotting.labels(np.full(count, left), rows - above / 2, texts, "middle right"))
    title, subtitle = "The arithmetic of this value", "Window × filter = products · grey: below zero"
    if not printed:
        window, weights, product = (
            f"{_max_abs(cells):.2f}" for cells in (value.windows, value.filters, value.products)
        )
        subtitle += f"<br>Full colour: window {window}, filter {weights}, product {product}"
    figure = plotting.pictures(traces, title, subtitle, 2 * apart + width, count * (height + above))
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def attributions(
    digit: np.ndarray,
    heats: np.ndarray,
    titles: Sequence[str],
    title: str,
    subtitle: str,
    unit: str,
    colour: str | None,
) -> Figure:
    """Attributions over a digit, side by side on one scale.

    Args:
        digit: `uint8[28, 28]`.
        heats: `float32[K, 28, 28]`.
        titles: above each.
        unit: of the values.
        colour: of values that are never below zero; None for values with a sign, which have a colour for each.
    """
    count, most = len(heats), _max_abs(heats)
    width = SIDE + GAP
    picture = plotting.opaque(digit // 2)  # darkened, so that the colour stands out
    overlay = Heatmap(
        z=plotting.tile(heats, count, np.nan, right=GAP, below=0),
        x0=0.5,
        y0=0.5,
        customdata=plotting.tile(plotting.numbered(*heats.shape), count, 0, right=GAP, below=0),
        hovertemplate="Row %{customdata[1]}, column %{customdata[2]}: %{z:.3f}<extra></extra>",
        zmin=0 if colour else -most,
        zmax=most,
        colorscale=plotting.fading(colour, 0, 0.9) if colour else _for_and_against(),
        colorbar=plotting.colour_bar(unit),
    )
    colours = (plotting.ZERO, colour) if colour else (AGAINST, plotting.ZERO, FOR)
    pictures = plotting.tile(np.stack([picture] * count), count, 0, right=GAP, below=0)
    figure = plotting.pictures(
        [
            Image(source=plotting.png(pictures), x0=0.5, y0=0.5, hoverinfo="skip"),
            *plotting.with_legend(overlay, *colours),
            plotting.labels(np.arange(count) * width + SIDE / 2, [-1] * count, titles, "top center"),
        ],
        title,
        subtitle,
        count * width - GAP,
        SIDE,
    )
    lines = 1 + max(title.count("<br>") for title in titles)
    return figure.update_yaxes(range=[SIDE + 1, -2 - LINE * lines])


def distances_from_pretrained(trained: Sequence[bool], distances: dict[int, float], colour: str) -> Figure:
    """The distance of each layer's filters from the pretrained ones, a bar each.

    Args:
        trained: for each layer; the others are frozen.
        distances: by number of the layer, from 1, relative to the pretrained filters; may lack trained layers.
    """
    numbers = list(range(1, len(trained) + 1))
    texts = [
        "❄ frozen" if not is_trained else f"fine-tuned: {distances[number]:.1%}" if number in distances else "trained"
        for number, is_trained in zip(numbers, trained, strict=True)
    ]
    shares = [distances.get(number, 0.0) for number in numbers]
    bars = Bar(
        x=shares,
        y=numbers,
        orientation="h",
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={"color": [colour if is_trained else FROZEN for is_trained in trained]},
        hovertemplate="Convolution %{y}: %{text}<extra></extra>",
    )
    return plotting.figure(
        [bars],
        "Change of the filters",
        "Relative to the pretrained filters",
        xaxis=plotting.axis() | {"tickformat": "~%", "range": [0, 1.6 * max(max(shares), 0.01)], "fixedrange": True},
        yaxis=plotting.axis("Convolution") | {"tickvals": numbers, "autorange": "reversed", "fixedrange": True},
    )


def _signed(values: np.ndarray, colour: str, most: float, **options: Any) -> Heatmap:
    scale = {"zmin": -most, "zmax": most, "colorscale": plotting.signed(colour)}
    return Heatmap(z=values, **scale | {"x0": 0.5, "y0": 0.5} | options)


def _max_abs(values: np.ndarray) -> float:
    """The end of a scale around zero; 1 if all values are 0."""
    return float(np.abs(values).max()) or 1.0


def _for_and_against() -> list:
    below, above = plotting.fading(AGAINST, 0.95, 0), plotting.fading(FOR, 0, 0.95)
    return [[0, below[0][1]], [0.5, below[1][1]], [0.5, above[0][1]], [1, above[1][1]]]
