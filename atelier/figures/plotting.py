"""Parts that all figures are made of: a common look, sheets of small pictures, colour scales, lines.

Colours of text, grid and ground are left open: whoever shows a figure fills them in, light or dark.
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

TITLE, TEXT = 20, 15  # pixels: read from the last row
ZERO, BELOW = "#000000", "#737D88"  # of a scale around zero


def figure(traces: list, title: str, subtitle: str, **layout: Any) -> Figure:
    """The common look. On a phone there is room for 34 letters of title and 48 of subtitle."""
    text = f"<b>{title}</b><br><span style='font-size: {TEXT}px'>{subtitle}</span>"
    look = {
        "template": "none",
        "title": {"text": text, "font": {"size": TITLE}, "x": 0, "y": 1, "yanchor": "top", "pad": {"t": 24}},
        "font": {"size": TEXT},
        "margin": {"l": 8, "r": 8, "t": 74, "b": 8},
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": TEXT}},
        "showlegend": False,
        "uirevision": "kept",
    }
    return Figure(traces, look | layout)


@cache
def warm_up() -> None:
    """Draw a figure that nobody sees: Plotly prepares each kind of trace when it is first used, for a tenth of a
    second."""
    sheet = pictures(
        [Heatmap(z=[[0]]), Scatter(x=[0], y=[0]), ImageTrace(z=[[[0, 0, 0]]]), Bar(x=[0], y=[0])], "", "", 1, 1
    )
    sheet.to_json()


def axis(title: str = "") -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "exponentformat": "none", "nticks": 7}


def pictures(traces: list, title: str, subtitle: str, width: float, height: float) -> Figure:
    """Traces in the coordinates of a picture: y goes down, pixels are square, nothing moves."""
    hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
    return figure(
        traces,
        title,
        subtitle,
        xaxis=hidden | {"range": [-1, width + 1]},
        yaxis=hidden | {"range": [height + 1, -1], "scaleanchor": "x"},
        dragmode=False,
    )


def tiled(cells: np.ndarray, columns: int, blank: float, right: int = 1, below: int = 1) -> np.ndarray:
    """`[N, h, w, …]` to `[rows * (h + below), columns * (w + right), …]`: the cells in rows, `blank` between them."""
    count, height, width, *rest = cells.shape
    rows, height, width = math.ceil(count / columns), height + below, width + right
    tiles = np.full((rows * columns, height, width, *rest), blank, cells.dtype)
    tiles[:count, : height - below, : width - right] = cells
    return tiles.reshape(rows, columns, height, width, *rest).swapaxes(1, 2).reshape(rows * height, -1, *rest)


def numbered(*shape: int) -> np.ndarray:
    """`int16[*shape, len(shape)]`: the place of each element, counted from 1 as people do."""
    return np.moveaxis(np.indices(shape, np.int16), 0, -1) + np.int16(1)


def places(count: int, columns: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Left and top of the first `count` cells of a sheet."""
    row, column = np.divmod(np.arange(count), columns)
    return column * width, row * height


def sensor(told: Sequence[str], columns: int, width: int, height: int, x: float, y: float) -> Heatmap:
    """Nothing to see, but what the cells of a sheet tell the mouse, and their index as `customdata`. The first cell's
    middle is at x, y."""
    index = tiled(np.arange(len(told), dtype=np.float32).reshape(-1, 1, 1), columns, np.nan, right=0, below=0)
    return Heatmap(
        z=index,
        customdata=index,
        text=[["" if np.isnan(i) else told[int(i)] for i in row] for row in index],
        x0=x,
        dx=width,
        y0=y,
        dy=height,
        colorscale=fading("#000000", 0, 0),
        showscale=False,
        hovertemplate="%{text}<extra></extra>",
    )


def rectangles(left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`float[N, 5, 2]`: the corners x, y of N rectangles, back to the first."""
    return np.stack([left, top, right, top, right, bottom, left, bottom, left, top], 1).reshape(-1, 5, 2)


def lines(lines: np.ndarray, colour: str, width: int) -> Scatter:
    """`float[N, K, 2]`: N lines through K points x, y."""
    broken = np.pad(lines.astype(float), ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    x, y = broken.reshape(-1, 2).T
    return Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip")


def strong(values: np.ndarray) -> float:
    """The end of a colour scale that a few extremes do not make pale: all but 2% lie below."""
    return float(np.quantile(values, 0.98))


def fading(colour: str, least: float, most: float) -> list:
    """A colour scale from opacity `least` to `most`, on whatever ground there is."""
    channels = ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return [[0, f"rgba({channels}, {least})"], [1, f"rgba({channels}, {most})"]]


def signed(colour: str) -> list:
    """A colour scale around zero: black there, as a digit's ground is, `colour` above, grey below. So it looks the same
    on light and dark pages, and white letters can be read on most of it."""
    return [[0, BELOW], [0.5, ZERO], [1, colour]]


def bar(title: str, **ticks: Any) -> dict[str, Any]:
    """A colour scale's legend, beneath the figure."""
    place = {"orientation": "h", "x": 0.5, "y": 0, "yanchor": "top", "len": 0.75, "thickness": 14, "outlinewidth": 0}
    return place | {"title": {"text": title, "side": "top"}} | ticks


def with_legend(over: Heatmap, *colours: str) -> list[Heatmap]:
    """A heatmap that fades out over black pictures, and its legend: these colours, evenly spaced.

    The legend is that of another trace, far outside: its own would fade to white on a light page.
    """
    steps = np.linspace(0, 1, len(colours))
    legend = Heatmap(  # of one number: a trace without any has no legend
        z=[[0]],
        x0=-1e4,
        y0=-1e4,
        zmin=over.zmin,
        zmax=over.zmax,
        colorscale=[[step, colour] for step, colour in zip(steps, colours, strict=True)],
        colorbar=over.colorbar,
        hoverinfo="skip",
    )
    return [over.update(showscale=False), legend]


def png(pixels: np.ndarray) -> str:
    """`uint8[H, W]`, or with 3 or 4 channels, as a data URI: far smaller than the numbers."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
