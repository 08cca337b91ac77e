"""Parts of all figures: a common style, sheets of small pictures, colour scales, lines.

Figures leave the colours of text, grid and background open. The page or the report sets them, light or dark.
"""

import base64
import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from plotly.graph_objects import Bar, Figure, Heatmap, Scatter
from plotly.graph_objects import Image as ImageTrace

TITLE, TEXT = 20, 15  # pixels: readable from the last row of a classroom
ZERO, BELOW = "#000000", "#737D88"  # of a scale around zero

Numbers = Sequence[float] | np.ndarray


def figure(traces: list, title: str, subtitle: str, **layout: Any) -> Figure:
    """A figure in the common style. A phone has room for 34 letters of title and 48 of subtitle."""
    text = f"<b>{title}</b><br><span style='font-size: {TEXT}px'>{subtitle}</span>"
    style = {
        "template": "none",
        "title": {"text": text, "font": {"size": TITLE}, "x": 0, "y": 1, "yanchor": "top", "pad": {"t": 24}},
        "font": {"size": TEXT},
        "margin": {"l": 8, "r": 8, "t": 74, "b": 8},
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": TEXT}},
        "showlegend": False,
        "uirevision": "kept",
    }
    return Figure(traces, style | layout)


@cache
def warm_up() -> None:
    """Prepare Plotly's kinds of traces, which takes a tenth of a second for each at its first use."""
    traces = [Heatmap(z=[[0]]), Scatter(x=[0], y=[0]), ImageTrace(z=[[[0, 0, 0]]]), Bar(x=[0], y=[0])]
    pictures(traces, "", "", 1, 1).to_json()


def axis(title: str = "") -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "exponentformat": "none", "nticks": 7}


def pictures(traces: list, title: str, subtitle: str, width: float, height: float) -> Figure:
    """A figure in the coordinates of a picture: y points down, pixels are square, nothing can be moved."""
    hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
    return figure(
        traces,
        title,
        subtitle,
        xaxis=hidden | {"range": [-1, width + 1]},
        yaxis=hidden | {"range": [height + 1, -1], "scaleanchor": "x"},
        dragmode=False,
    )


def tile(cells: np.ndarray, columns: int, blank: float, right: int = 1, below: int = 1) -> np.ndarray:
    """Tile cells in rows: `[N, h, w, …]` to `[rows * (h + below), columns * (w + right), …]`, `blank` between them."""
    count, height, width, *rest = cells.shape
    rows, height, width = math.ceil(count / columns), height + below, width + right
    tiles = np.full((rows * columns, height, width, *rest), blank, cells.dtype)
    tiles[:count, : height - below, : width - right] = cells
    return tiles.reshape(rows, columns, height, width, *rest).swapaxes(1, 2).reshape(rows * height, -1, *rest)


def opaque(pictures: np.ndarray) -> np.ndarray:
    """Add channels of colour and opacity to grey pictures: `uint8[…]` to `uint8[…, 4]`."""
    return np.stack([pictures, pictures, pictures, np.full_like(pictures, 255)], -1)


def numbered(*shape: int) -> np.ndarray:
    """The index of each element, counted from 1: `int16[*shape, len(shape)]`."""
    return np.moveaxis(np.indices(shape, np.int16), 0, -1) + np.int16(1)


def places(count: int, columns: int, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Left and top of the first `count` cells of a sheet."""
    row, column = np.divmod(np.arange(count), columns)
    return column * width, row * height


def hover_cells(
    tooltips: Sequence[str],
    columns: int,
    width: int,
    height: int,
    x: float,
    y: float,
    customdata: Numbers | None = None,
) -> Heatmap:
    """An invisible trace with a tooltip and `customdata` (by default the index) for each cell of a sheet.

    The centre of the first cell is at x, y.
    """
    index = tile(np.arange(len(tooltips)).reshape(-1, 1, 1), columns, -1, right=0, below=0)
    numbers = np.arange(len(tooltips)) if customdata is None else np.asarray(customdata)
    return Heatmap(
        z=np.where(index < 0, np.nan, 0),
        customdata=np.append(numbers, -1)[index],
        text=np.array([*tooltips, ""], object)[index],
        x0=x,
        dx=width,
        y0=y,
        dy=height,
        colorscale=fading("#000000", 0, 0),
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{text}<extra></extra>",
    )


def rectangles(left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The corners x, y of N rectangles, closed: `float[N, 5, 2]`."""
    return np.stack([left, top, right, top, right, bottom, left, bottom, left, top], 1).reshape(-1, 5, 2)


def lines(lines: np.ndarray, colour: str, width: int) -> Scatter:
    """N lines through K points x, y each, from `float[N, K, 2]`."""
    broken = np.pad(lines.astype(float), ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    x, y = broken.reshape(-1, 2).T
    return Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip")


def labels(x: Numbers, y: Numbers, text: Sequence[str], position: str = "middle center") -> Scatter:
    """Texts at the points x, y."""
    font = {"size": TEXT}
    return Scatter(
        x=x, y=y, text=text, mode="text", textposition=position, textfont=font, hoverinfo="skip", cliponaxis=False
    )


def robust_max(values: np.ndarray) -> float:
    """The 98th percentile: the end of a colour scale that a few extreme values do not make pale."""
    return float(np.quantile(values, 0.98))


def fading(colour: str, least: float, most: float) -> list:
    """A colour scale from opacity `least` to `most`, over any background."""
    channels = ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return [[0, f"rgba({channels}, {least})"], [1, f"rgba({channels}, {most})"]]


def signed(colour: str) -> list:
    """A colour scale around zero: black at zero like the background of a digit, `colour` above, grey below.

    It is the same on light and dark pages, and white text is readable on most of it.
    """
    return [[0, BELOW], [0.5, ZERO], [1, colour]]


def colour_bar(title: str, **ticks: Any) -> dict[str, Any]:
    """The legend of a colour scale, below the figure."""
    place = {"orientation": "h", "x": 0.5, "y": 0, "yanchor": "top", "len": 0.75, "thickness": 14, "outlinewidth": 0}
    return place | {"title": {"text": title, "side": "top"}} | ticks


def with_legend(overlay: Heatmap, *colours: str) -> list[Heatmap]:
    """A heatmap that fades out over black pictures, and a legend of evenly spaced colours.

    The legend belongs to another trace far outside, because the heatmap's own would fade to white on a light page.
    """
    steps = np.linspace(0, 1, len(colours))
    legend = Heatmap(  # with one value, because a trace without values has no legend
        z=[[0]],
        x0=-1e4,
        y0=-1e4,
        zmin=overlay.zmin,
        zmax=overlay.zmax,
        colorscale=[[step, colour] for step, colour in zip(steps, colours, strict=True)],
        colorbar=overlay.colorbar,
        hoverinfo="skip",
    )
    return [overlay.update(showscale=False), legend]


def png(pixels: np.ndarray) -> str:
    """Encode `uint8[H, W]`, or `uint8[H, W, 3 or 4]`, as a data URI; far smaller than the numbers."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
