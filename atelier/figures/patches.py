"""What happens inside a Vision Transformer, as figures: arrays in, Plotly figure out.

Token 0 is the class token, tokens 1 to P are the patches as one reads, g a row. Colours of text, grid and ground are
left open, as in `atelier.figures`.
"""

import math
from typing import Any

import numpy as np
from plotly.graph_objects import Bar, Figure, Heatmap, Image, Scatter

from atelier.data.mnist import SIDE
from atelier.figures import plotting
from atelier.zoo import MODELS

TEXT = plotting.TEXT
COLOUR = MODELS["vit"].colour
GREY = "#7A8794"  # can be seen on light and dark
PITCH = SIDE + 4  # from one small picture to the next, in pixels of the digit
ASIDE = 10  # room for the class token beside a digit
TOLD = 0.15  # probability from which a line is labelled


# The way from patches to scores --------------------------------------------------------------------------------------


def patches(digit: np.ndarray, size: int) -> Figure:
    """A digit `uint8[28, 28]` cut into numbered squares of `size` pixels."""
    side = SIDE // size
    left, top = plotting.places(side**2, side, size, size)
    numbers = Scatter(
        x=left + size / 2,
        y=top + size / 2,
        text=[str(number) for number in range(1, side**2 + 1)],
        mode="text",
        textfont={"color": "white", "size": min(TEXT, 130 // side)},
        hoverinfo="skip",
    )
    cuts = plotting.lines(plotting.rectangles(left, top, left + size, top + size), GREY, 1)
    return plotting.pictures(
        [_digit(digit), cuts, numbers],
        "Which patches is it cut into?",
        f"{side**2} of {size} × {size} pixels · the number is its token's",
        SIDE,
        SIDE,
    )


def vectors(values: np.ndarray, of: str, first: int, title: str, subtitle: str) -> Figure:
    """Tokens as rows of numbers, on one scale around zero.

    Args:
        values: `float32[rows, D]`.
        of: what a row is, such as "Patch".
        first: number of the first row.
    """
    most = plotting.strong(np.abs(values)) or 1.0
    shown = Heatmap(
        z=values,
        x0=1,
        y0=first,
        zmin=-most,
        zmax=most,
        colorscale=plotting.signed(COLOUR),
        colorbar=plotting.bar("value"),
        hovertemplate=f"{of} %{{y}}, number %{{x}}: %{{z:.2f}}<extra></extra>",
    )
    still = {"fixedrange": True, "showgrid": False}
    rows = {"range": [first + len(values) - 0.5, first - 0.5], **_whole(len(values))}
    return plotting.figure(
        [shown],
        title,
        subtitle,
        xaxis=still | {"visible": False},
        yaxis=plotting.axis(of) | still | rows,
        dragmode=False,
    )


def collected(digit: np.ndarray, maps: np.ndarray) -> Figure:
    """Where the class token looks in each block.

    Args:
        digit: `uint8[28, 28]`.
        maps: `float[blocks, g, g]`, shares of its attention.
    """
    columns = math.ceil(math.sqrt(len(maps)))
    left, top = plotting.places(len(maps), columns, PITCH, PITCH)
    told = "Block %{customdata[0]}, patch in row %{customdata[1]}, column %{customdata[2]}:<br>%{z:.1f}%<extra></extra>"
    names = Scatter(
        x=left + 1,
        y=top + 1,
        text=[str(block) for block in range(1, len(maps) + 1)],
        mode="text",
        textposition="bottom right",
        textfont={"color": "white", "size": TEXT},
        hoverinfo="skip",
    )
    return plotting.pictures(
        [*_laid_over(digit, maps, columns, plotting.numbered(*maps.shape), told), names],
        "Where does it look, block by block?",
        "Colour: patches from which the class token collects",
        columns * PITCH,
        math.ceil(len(maps) / columns) * PITCH,
    )


def logits(logits: np.ndarray) -> Figure:
    """The ten scores, `float32[10]`; the answer stands out."""
    answer = int(logits.argmax())
    bars = Bar(
        x=list(range(10)),
        y=logits,
        marker={"color": COLOUR, "opacity": np.where(np.arange(10) == answer, 1, 0.4)},
        texttemplate="%{y:.1f}",
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        hovertemplate="Logit of %{x}: %{y:.2f}<extra></extra>",
    )
    return plotting.figure(
        [bars],
        "Which score is highest?",
        f"The head gives ten, called logits; the answer is {answer}",
        xaxis=plotting.axis("Digit") | {"dtick": 1, "fixedrange": True},
        yaxis=plotting.axis("Logit") | {"fixedrange": True},
        dragmode=False,
    )


# Where it looks ------------------------------------------------------------------------------------------------------


def named(token: int) -> str:
    """A token, as the pages call it."""
    return f"patch {token}" if token else "the class token"


def heads(digit: np.ndarray, maps: np.ndarray, token: int, chosen: tuple[int, int]) -> Figure:
    """Where a token looks in each layer and head, a small picture each; one is framed.

    Args:
        digit: `uint8[28, 28]`.
        maps: `float[layers, heads, g, g]`, shares of the token's attention.
        token: the one that looks.
        chosen: layer and head, counted from 1.

    A click comes with layer, head, row and column, counted from 1, as `customdata`.
    """
    layers, columns, side = maps.shape[:3]
    numbered = plotting.numbered(*maps.shape).reshape(-1, side, side, 4)
    told = (
        "Layer %{customdata[0]}, head %{customdata[1]}<br>Patch in row %{customdata[2]}, column %{customdata[3]}: "
        f"%{{z:.1f}}%<br>All {side**2 + 1} tokens together: 100%, for each row sums to 1<extra></extra>"
    )
    left, top = PITCH * (chosen[1] - 1), PITCH * (chosen[0] - 1)
    corners = np.array([left - 1.5]), np.array([top - 1.5]), np.array([left + SIDE + 1.5]), np.array([top + SIDE + 1.5])
    frame = plotting.lines(plotting.rectangles(*corners), COLOUR, 4)
    return plotting.figure(
        [*_laid_over(digit, maps.reshape(-1, side, side), columns, numbered, told), frame],
        f"Where does {named(token)} look?",
        f"{layers} layers × {columns} heads · click one to enlarge it",
        xaxis=_counted("Head", columns) | {"side": "top", "range": [-3, PITCH * columns]},
        yaxis=_counted("Layer", layers) | {"range": [PITCH * layers, -3], "scaleanchor": "x"},
        margin={"l": 8, "r": 8, "t": 128, "b": 8},  # room for the axis on top
        dragmode=False,
    )


def looks(digit: np.ndarray, row: np.ndarray, token: int, layer: int, head: int) -> Figure:
    """Where one token looks, large; the class token has a square beside the digit.

    Args:
        digit: `uint8[28, 28]`.
        row: `float32[tokens]`, the token's attention, sums to 1.
        token: the one that looks; it is framed.
        layer, head: counted from 1.

    A click comes with the token's number as `customdata`.
    """
    side = math.isqrt(len(row) - 1)
    size, maps = SIDE / side, row[1:].reshape(side, side)
    numbers = np.arange(1, len(row), dtype=np.int16).reshape(side, side)
    scale = {
        "zmin": 0,
        "zmax": 100 * float(maps.max()) or 1.0,
        "colorscale": plotting.fading(COLOUR, 0, 0.9),
        "hovertemplate": f"%{{text}}: %{{z:.1f}}% of the attention of {named(token)}<br>"
        f"All {len(row)} tokens together: {row.sum():.0%}, for each row sums to 1<extra></extra>",
    }
    over = Heatmap(
        z=100 * maps,
        x0=ASIDE + size / 2,
        dx=size,
        y0=size / 2,
        dy=size,
        customdata=numbers,
        text=[[f"Patch {number}" for number in line] for line in numbers],
        colorbar=plotting.bar("share of its attention", ticksuffix="%"),
        **scale,
    )
    solid = scale | {"colorscale": [[0, plotting.ZERO], [1, COLOUR]]}  # there is no black picture beneath
    aside = Heatmap(
        z=[[100 * row[0]]], x0=5, dx=6, y0=14, dy=6, customdata=[[0]], text=[["Class token"]], showscale=False, **solid
    )
    share = Scatter(
        x=[5],
        y=[18],
        text=[f"class<br>token<br>{row[0]:.0%}"],
        mode="text",
        textposition="bottom center",
        hoverinfo="skip",
    )
    left, top = plotting.places(len(row) - 1, side, size, size)
    squares = np.vstack([[2, 11, 8, 17], np.stack([left + ASIDE, top, left + ASIDE + size, top + size], axis=1)])
    looker = plotting.lines(plotting.rectangles(*squares[[token]].T), COLOUR, 5)
    outline = plotting.lines(plotting.rectangles(*squares[[0]].T), GREY, 1)
    return plotting.pictures(
        [_digit(digit, ASIDE), *plotting.with_legend(over, plotting.ZERO, COLOUR), aside, outline, looker, share],
        f"Where does layer {layer}, head {head} look?",
        f"Framed: {named(token)} · click a patch to look from it",
        ASIDE + SIDE,
        SIDE,
    )


def rollout(digit: np.ndarray, rolled: np.ndarray) -> Figure:
    """Shares `float32[g, g]` of the patches that reach the class token, over the digit `uint8[28, 28]`."""
    return _large(
        digit,
        100 * rolled,
        "What reaches the answer?",
        "Rollout: the stronger, the more gets through",
        "%{z:.1f}% of what reaches the class token",
        plotting.bar("share of the class token", ticksuffix="%"),
    )


def gradient_rollout(digit: np.ndarray, pulled: np.ndarray, target: int) -> Figure:
    """What of the patches, `float32[g, g]`, raises the logit of a class, over the digit `uint8[28, 28]`, as shares."""
    return _large(
        digit,
        100 * pulled / (pulled.sum() or 1.0),
        f"Why {target}?",
        f"Gradient rollout: the stronger, the more for {target}",
        f"%{{z:.1f}}% of all that speaks for {target}",
        plotting.bar(f"share of what speaks for {target}", ticksuffix="%"),
    )


# Over the layers -----------------------------------------------------------------------------------------------------


def lens(probabilities: np.ndarray) -> Figure:
    """Probabilities `float32[depth + 1, 10]` if the network ended early: a line a digit, labelled from 15% on; the
    answer is bold."""
    blocks, answer = np.arange(len(probabilities)), int(probabilities[-1].argmax())
    lines = [
        Scatter(
            x=blocks,
            y=shares,
            name=str(digit),
            mode="lines+markers+text",
            line={"color": COLOUR if digit == answer else GREY, "width": 5 if digit == answer else 2},
            marker={
                "size": np.where(shares >= TOLD, 24, 0),
                "color": COLOUR if digit == answer else GREY,
                "opacity": 1,
            },
            text=np.where(shares >= TOLD, f"<b>{digit}</b>", ""),
            textfont={"color": "black" if digit == answer else "white", "size": TEXT},
            zorder=int(digit == answer),  # on top
            cliponaxis=False,
            hovertemplate=f"{digit}: %{{y:.1%}}<extra></extra>",
        )
        for digit, shares in enumerate(probabilities.T)
    ]
    return plotting.figure(
        lines,
        "When does the answer take shape?",
        f"One line for each digit; bold: the final answer, {answer}",
        xaxis=plotting.axis("Blocks passed") | _whole(blocks[-1]) | {"fixedrange": True, "range": _room(0, blocks[-1])},
        yaxis=plotting.axis("Probability") | {"tickformat": "~%", "range": [-0.02, 1.05], "fixedrange": True},
        hovermode="x unified",
        dragmode=False,
    )


def distances(distances: np.ndarray, everywhere: float) -> Figure:
    """How far each head looks, a dot a head.

    Args:
        distances: `float[layers, heads]`, in pixels.
        everywhere: the distance of a head that looks at all patches alike.
    """
    layers, heads = distances.shape
    layer, head = plotting.numbered(layers, heads).reshape(-1, 2).T
    dots = Scatter(
        x=layer,
        y=distances.ravel(),
        customdata=head,
        mode="markers",
        marker={"color": COLOUR, "size": 14, "opacity": 0.8},
        hovertemplate="Layer %{x}, head %{customdata}: %{y:.1f} pixels<extra></extra>",
    )
    uniform = Scatter(
        x=_room(1, layers),
        y=[everywhere] * 2,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2},
        hovertemplate=f"Everywhere alike: {everywhere:.1f} pixels<extra></extra>",
    )
    return plotting.figure(
        [uniform, dots],
        "How far does each head look?",
        "A dot: a head · dashed: one that looks everywhere alike",
        xaxis=plotting.axis("Layer") | _whole(layers) | {"fixedrange": True, "range": _room(1, layers)},
        yaxis=plotting.axis("Mean distance, pixels") | {"rangemode": "tozero", "fixedrange": True},
        dragmode=False,
    )


# Parts ---------------------------------------------------------------------------------------------------------------


def _digit(digit: np.ndarray, left: float = 0.0) -> Image:
    """Darker, so that what lies over it shows."""
    return Image(source=plotting.png(digit // 2), x0=left + 0.5, y0=0.5, hoverinfo="skip")


def _laid_over(digit: np.ndarray, maps: np.ndarray, columns: int, numbered: np.ndarray, told: str) -> list:
    """The digit again and again, each time with one of `maps[N, g, g]` (shares) over it."""
    count, side = maps.shape[:2]
    across, down = columns, math.ceil(count / columns)
    inked = np.stack([*[digit // 2] * 3, np.full_like(digit, 255)], -1)
    sheet = plotting.tiled(np.repeat(inked[None], count, axis=0), columns, 0, right=PITCH - SIDE, below=PITCH - SIDE)
    shares = plotting.tiled(100 * maps, columns, np.nan)
    x, y = ((PITCH * np.arange(n)[:, None] + np.linspace(0, SIDE, side + 1)).ravel() for n in (across, down))
    over = Heatmap(
        z=shares[:-1, :-1],  # without the last gaps
        x=x,  # edges of patches and of the gaps between digits
        y=y,
        customdata=plotting.tiled(numbered, columns, 0)[:-1, :-1],
        hovertemplate=told,
        hoverongaps=False,
        zmin=0,
        zmax=100 * plotting.strong(maps) or 1.0,
        colorscale=plotting.fading(COLOUR, 0, 0.9),
        colorbar=plotting.bar("its attention (last colour: or more)", ticksuffix="%"),
    )
    inked = Image(source=plotting.png(sheet), x0=0.5, y0=0.5, hoverinfo="skip")
    return [inked, *plotting.with_legend(over, plotting.ZERO, COLOUR)]


def _large(digit: np.ndarray, values: np.ndarray, title: str, subtitle: str, told: str, legend: dict) -> Figure:
    """A map `[g, g]` over the digit, in numbers of its own."""
    size = SIDE / len(values)
    over = Heatmap(
        z=values,
        x0=size / 2,
        dx=size,
        y0=size / 2,
        dy=size,
        customdata=np.arange(1, values.size + 1, dtype=np.int16).reshape(values.shape),
        hovertemplate=f"Patch %{{customdata}}: {told}<extra></extra>",
        zmin=0,
        zmax=float(values.max()) or 1.0,
        colorscale=plotting.fading(COLOUR, 0, 0.9),
        colorbar=legend,
    )
    traces = [_digit(digit), *plotting.with_legend(over, plotting.ZERO, COLOUR)]
    return plotting.pictures(traces, title, subtitle, SIDE, SIDE)


def _counted(title: str, count: int) -> dict[str, Any]:
    """An axis on which small pictures are counted from 1."""
    ticks = {"tickvals": PITCH * np.arange(count) + SIDE / 2, "ticktext": list(range(1, count + 1))}
    still = {"fixedrange": True, "showgrid": False, "constrain": "domain"}
    return plotting.axis(title) | ticks | still


def _whole(count: int) -> dict[str, Any]:
    """Ticks at whole numbers: at each, unless there are many."""
    return {"tickformat": "d"} | ({"dtick": 1} if count <= 12 else {})


def _room(first: int, last: int) -> list[float]:
    """The range of an axis of whole numbers, also if there is but one."""
    return [first - 0.5, last + 0.5]
