"""Faster R-CNN from anchors to boxes, as figures: arrays in, Plotly figure out.

Everywhere orange is what the detector keeps, grey what it drops, and light blue what is true. Colours of text and
ground are left open, as in `atelier.figures`.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Picture
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.figures import curves, plotting
from atelier.zoo import MODELS

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, Slide, Trace

KEPT, DROPPED, TRUE = MODELS["faster_rcnn"].colour, "#9AA0A6", "#56B4E9"
SIZES = ("#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#FFFFFF")  # of anchors; Okabe and Ito's, for colour-blind people
FAINT = plotting.fading(KEPT, 0, 0.9)
NOTHING = plotting.fading("#000000", 0, 0)
CUT = 28  # pixels of a sheet: height and width of a proposal cut out, and of its map of 7 x 7
PLACE = CUT // 7
CELL, ROW, COLUMNS = CUT + 2 * PLACE, 2 * CUT + 4 * PLACE, 6
SHOWN = 12  # proposals on a sheet


# The picture and its features ----------------------------------------------------------------------------------------


def picture(picture: np.ndarray) -> Figure:
    """`uint8[H, W]`, each pixel with its number."""
    shown = Heatmap(
        z=picture,
        zmin=0,
        zmax=255,
        colorscale=[[0, "#000000"], [1, "#FFFFFF"]],
        colorbar=plotting.bar("ink in a pixel", tickvals=[0, 128, 255]),
        hovertemplate="Row %{y}, column %{x}: %{z}<extra></extra>",
    )
    height, width = picture.shape
    return plotting.pictures([shown], "What does it get?", f"{width} × {height} pixels, a number each", width, height)


def channels(maps: np.ndarray, chosen: np.ndarray, columns: int, of: str = "") -> Figure:
    """Some channels of a map of features, on one scale.

    Args:
        maps: `float32[C, h, w]`.
        chosen: `int64[K]`, which of them.
        columns: of the sheet.
        of: whose features, for the title.
    """
    tiles = plotting.tiled(maps[chosen], columns, np.nan)
    numbers = np.broadcast_to(chosen[:, None, None] + 1, (len(chosen), *maps.shape[1:])).astype(np.int16)
    shown = Heatmap(
        z=tiles,
        x0=0.5,
        y0=0.5,
        zmin=0,
        zmax=plotting.strong(maps[chosen]) or 1.0,
        customdata=plotting.tiled(numbers, columns, 0),
        colorscale="Viridis",
        colorbar=plotting.bar("how strongly it responds"),
        hovertemplate="Channel %{customdata}: %{z:.2f}<extra></extra>",
    )
    height, width = tiles.shape
    told = f"{of}{len(chosen)} of {len(maps)} channels, {maps.shape[2]} × {maps.shape[1]} places each"
    return plotting.pictures([shown], "What does each channel find?", told, width, height)


# First stage: anchors, objectness, proposals -------------------------------------------------------------------------


def anchors(walk: "Trace", row: int, column: int) -> Figure:
    """The anchors at a place of the map, and the surest of them as the first stage shifts it. A click comes with the
    place's row and column as `point`."""
    boxes, best = walk.anchors[row, column], walk.objectness[row, column].argmax()
    lines = []
    for number, (size, colour) in enumerate(zip(walk.anchor_sizes, SIZES, strict=False)):
        of_size = plotting.lines(plotting.rectangles(*boxes[number :: len(walk.anchor_sizes)].T), colour, 2)
        lines.append(of_size.update(name=f"{size:g} pixels", showlegend=True))
    shifted = plotting.lines(plotting.rectangles(*walk.shifted[row, column, [best]].T), KEPT, 5)
    marker = {"symbol": "cross", "size": 14, "color": "white", "line": {"width": 2, "color": "black"}}
    places = _places(walk, np.zeros(walk.objectness.shape[:2]), "Click to see its anchors", NOTHING, showscale=False)
    figure = _over(
        walk.picture,
        [
            places,
            *lines,
            shifted.update(name="the surest, shifted", showlegend=True),
            Scatter(
                x=[walk.stride * column],
                y=[walk.stride * row],
                mode="markers",
                marker=marker,
                hoverinfo="skip",
                showlegend=False,
            ),
        ],
        "Which boxes does it try here?",
        f"{len(boxes)} anchors · thick: the surest, shifted to fit",
    )
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"})


def anchor_scores(walk: "Trace", row: int, column: int) -> Figure:
    """The objectness of the anchors at one place: a column a size, a row a shape."""
    scores = walk.objectness[row, column].reshape(len(walk.anchor_shapes), -1)
    return plotting.figure(
        _shares(scores, least=0),
        "Does one hold a digit?",
        f"In percent · surest: {scores.max():.1%}",
        xaxis=_names("Size in pixels", [f"{size:g}" for size in walk.anchor_sizes]),
        yaxis=_names("Height to width", [f"{shape:g}" for shape in walk.anchor_shapes]) | {"autorange": "reversed"},
        dragmode=False,
    )


def objectness(walk: "Trace") -> Figure:
    """Where the first stage sees some digit: at each place the surest of its anchors."""
    shown = _places(walk, walk.objectness.max(-1), "%{z:.1%} some digit", FAINT, colorbar=_percent("some digit here"))
    return _over(
        walk.picture,
        plotting.with_legend(shown, plotting.ZERO, KEPT),
        "Where is some digit?",
        f"{walk.objectness[..., 0].size:,} places, {walk.objectness.size:,} anchors: the surest of each",
    )


def objectness_by_anchor(walk: "Trace") -> Figure:
    """The same for each anchor alone: a column a size, a row a shape."""
    maps, columns = np.moveaxis(walk.objectness, -1, 0), len(walk.anchor_sizes)
    names = [f"{size:g} px, {shape:g} : 1" for shape in walk.anchor_shapes for size in walk.anchor_sizes]
    tiles = plotting.tiled(maps, columns, np.nan)
    numbers = np.broadcast_to(np.arange(len(maps))[:, None, None], maps.shape)
    told = np.array([*names, ""])[plotting.tiled(numbers, columns, len(maps))]
    shown = Heatmap(
        z=tiles,
        x0=0.5,
        y0=0.5,
        zmin=0,
        zmax=1,
        text=told,
        colorscale="Viridis",
        colorbar=_percent("some digit here"),
        hovertemplate="%{text}: %{z:.1%}<extra></extra>",
    )
    height, width = tiles.shape
    sizes = ", ".join(f"{size:g}" for size in walk.anchor_sizes)
    return plotting.pictures(
        [shown], "Which anchor sees what?", f"Columns: {sizes} pixels · lower is taller", width, height
    )


def candidates(walk: "Trace", most: int) -> Figure:
    """The surest boxes of the first stage; those in orange outlive non-maximum suppression."""
    boxes, kept = walk.candidates[:most], np.isin(np.arange(len(walk.candidates[:most])), walk.kept)
    return _over(
        walk.picture,
        [
            plotting.lines(plotting.rectangles(*boxes[~kept].T), DROPPED, 1),
            plotting.lines(plotting.rectangles(*boxes[kept].T), KEPT, 2),
            _dots(boxes, walk.candidates_objectness[:most], kept),
        ],
        f"Which of {len(boxes)} boxes go?",
        "Before non-maximum suppression: grey ones will go",
    )


def survivors(walk: "Trace", most: int) -> Figure:
    """Those of the surest boxes that non-maximum suppression leaves: the proposals."""
    kept = walk.kept[walk.kept < most]
    boxes, chances = walk.candidates[kept], walk.candidates_objectness[kept]
    return _over(
        walk.picture,
        [plotting.lines(plotting.rectangles(*boxes.T), KEPT, 2), _dots(boxes, chances, np.ones(len(boxes), bool))],
        f"Which {len(boxes)} boxes stay?",
        "After non-maximum suppression: the proposals",
    )


def _dots(boxes: np.ndarray, chances: np.ndarray, kept: np.ndarray) -> Scatter:
    """The boxes' centres, which tell the mouse how sure each is."""
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    return Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"size": 6, "color": np.where(kept, KEPT, DROPPED)},
        text=[
            f"{chance:.1%} some digit{'' if stays else ', goes'}" for chance, stays in zip(chances, kept, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )


# Second stage: crops, classes, boxes ---------------------------------------------------------------------------------


def crops(walk: "Trace", chosen: int) -> Figure:
    """The surest proposals: above as cut out of the picture, below as the second stage gets them. A click comes with
    the proposal's number as `customdata`."""
    boxes, chances = walk.proposals[:SHOWN], walk.proposals_objectness[:SHOWN]
    scene, maps = Picture.fromarray(walk.picture), walk.crops[:SHOWN].mean(1)  # (R, 7, 7)
    cuts = [np.asarray(scene.resize((CUT, CUT), Picture.Resampling.BILINEAR, box=tuple(box))) for box in boxes]
    inked = np.stack([*[np.array(cuts)] * 3, np.full((len(cuts), CUT, CUT), 255, np.uint8)], -1)
    beneath = np.pad(maps, ((0, 0), (8, 0), (0, 0)), constant_values=np.nan)  # 8 places lower: a cut, and one between
    left, top = plotting.places(len(cuts), COLUMNS, CELL, ROW)
    here = plotting.rectangles(left - 1, top - 1, left + CUT + 1, top + 2 * CUT + PLACE + 1)
    told = [
        f"Proposal {number}: {chance:.1%} some digit,<br>{right - x:.0f} × {bottom - y:.0f} pixels"
        for number, (chance, (x, y, right, bottom)) in enumerate(zip(chances, boxes, strict=True), start=1)
    ]
    shown = Heatmap(
        z=plotting.tiled(beneath, COLUMNS, np.nan, right=2, below=3),
        x0=PLACE / 2,
        dx=PLACE,
        y0=PLACE / 2,
        dy=PLACE,
        zmin=0,
        zmax=plotting.strong(maps) or 1.0,
        colorscale="Viridis",
        colorbar=plotting.bar("mean of all channels"),
        hoverinfo="skip",
    )
    sheet = plotting.tiled(inked, COLUMNS, 0, right=CELL - CUT, below=ROW - CUT)
    names = [f"<b>{number}</b> · {chance:.0%}" for number, chance in enumerate(chances, start=1)]
    return plotting.pictures(
        [
            Image(source=plotting.png(sheet), x0=0.5, y0=0.5, hoverinfo="skip"),
            shown,
            plotting.lines(here[[chosen]], KEPT, 4),
            Scatter(x=left + CUT / 2, y=top + 2 * CUT + 10, text=names, mode="text", hoverinfo="skip"),
            plotting.sensor(told, COLUMNS, CELL, ROW, CUT / 2, CUT + PLACE / 2),
        ],
        "What is seen of each box?",
        f"{len(cuts)} surest of {len(walk.proposals)} proposals: pixels, and the 7 × 7 map",
        COLUMNS * CELL,
        math.ceil(len(cuts) / COLUMNS) * ROW,
    )


def classes(walk: "Trace", chosen: int) -> Figure:
    """What the second stage says of the surest proposals, a row each. A click comes with the proposal as `y`."""
    shares = np.roll(walk.probabilities[:SHOWN], -1, axis=1)  # "no digit" last
    frame = plotting.rectangles(*np.array([[-0.5], [chosen - 0.5], [10.5], [chosen + 0.5]]))
    rows = _names("Proposal", [str(number) for number in range(1, len(shares) + 1)]) | {"autorange": "reversed"}
    return plotting.figure(
        [*_shares(shares), plotting.lines(frame, KEPT, 3)],
        "Which digit is in each?",
        f"{len(shares)} surest proposals · percent: rows add up to 100",
        xaxis=_names("Digit", [*map(str, range(10)), "none"]),
        yaxis=rows,
        dragmode=False,
    )


def refined(walk: "Trace", chosen: int) -> Figure:
    """The surest proposals (grey) and what the second stage makes of them (orange), the chosen one thick."""
    shares = walk.probabilities[:SHOWN]
    rows, digits = np.arange(len(shares)), shares[:, 1:].argmax(1)
    before, after = walk.proposals[:SHOWN], walk.refined[rows, 1 + digits]
    kept = shares.argmax(1) > 0
    digit, share, none = digits[chosen], shares[chosen, 1:].max(), shares[chosen, 0]
    said = f"a {digit}, {share:.0%} sure" if kept[chosen] else f"no digit, {none:.0%} sure"
    one = [chosen]
    return _over(
        walk.picture,
        [
            plotting.lines(plotting.rectangles(*before.T), DROPPED, 1).update(line_dash="dot"),
            plotting.lines(plotting.rectangles(*after[kept].T), KEPT, 1),
            plotting.lines(plotting.rectangles(*after[one].T), KEPT if kept[chosen] else DROPPED, 5),
            plotting.lines(plotting.rectangles(*before[one].T), "#FFFFFF", 2).update(line_dash="dot"),
        ],
        f"What becomes of proposal {chosen + 1}?",
        f"{said[0].upper()}{said[1:]} · dotted: proposed, thick: refined",
    )


def final(scene: np.ndarray, decision: "Decision", true: np.ndarray) -> Figure:
    """The answer, and beside it the boxes that non-maximum suppression has dropped, and the true ones.

    Args:
        scene: `uint8[H, W]`.
        decision: boxes in its pixels.
        true: `float[T, 4]`.
    """
    found, boxes = decision.found, decision.likely.boxes
    dropped = boxes[~np.isin(np.arange(len(boxes)), decision.kept)]
    figure = curves.boxes(scene, found.boxes, found.labels, found.scores, KEPT)
    grey = plotting.lines(plotting.rectangles(*dropped.T), DROPPED, 1)
    blue = plotting.lines(plotting.rectangles(*np.reshape(true, (-1, 4)).T), TRUE, 3).update(line_dash="dash")
    return figure.add_traces([grey, blue])


# The way without boxes -----------------------------------------------------------------------------------------------


def sliding(picture: np.ndarray, slide: "Slide") -> Figure:
    """What a network for single digits says at each place of a picture, and how surely."""
    places = Heatmap(
        z=slide.confidence,
        dx=slide.stride,
        dy=slide.stride,
        zmin=0,
        zmax=1,
        text=slide.labels,
        texttemplate="%{text}",
        textfont={"color": "white"},
        colorscale=plotting.fading(MODELS["cnn"].colour, 0, 0.9),
        colorbar=_percent("how sure it is"),
        hovertemplate="A %{text}, %{z:.0%} sure<extra></extra>",
    )
    told = f"{slide.labels.size:,} answers, one each {slide.stride} pixels, each from {slide.window} × {slide.window}"
    traces = plotting.with_legend(places, plotting.ZERO, MODELS["cnn"].colour)
    figure = _over(picture, traces, "What does it read at each place?", told)
    (rows, columns), half = np.array(slide.labels.shape) * slide.stride, slide.stride / 2  # whole cells at the edges
    return figure.update_layout(xaxis_range=[-half, columns - half], yaxis_range=[rows - half, -half])


# Parts ---------------------------------------------------------------------------------------------------------------


def _over(picture: np.ndarray, traces: list, title: str, subtitle: str) -> Figure:
    """Traces over a picture, which is darkened so that they show."""
    height, width = picture.shape
    dark = Image(source=plotting.png(picture // 2), x0=0.5, y0=0.5, hoverinfo="skip")
    return plotting.pictures([dark, *traces], title, subtitle, width, height)


def _places(walk: "Trace", values: np.ndarray, told: str, colours: list, **scale: Any) -> Heatmap:
    """Values in 0..1 at the places of the map."""
    return Heatmap(
        z=values,
        dx=walk.stride,
        dy=walk.stride,
        zmin=0,
        zmax=1,
        colorscale=colours,
        hovertemplate=f"{told}<extra></extra>",
        **scale,
    )


def _shares(shares: np.ndarray, least: float = 0.01) -> list:
    """A table of probabilities `float[R, C]`; those from `least` on are printed, in percent."""
    cells = Heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        colorscale=FAINT,
        showscale=False,  # the numbers say it
        hovertemplate="%{z:.2%}<extra></extra>",
    )
    numbers = []
    for of, font in ((shares > 0.5, {"color": "black"}), ((shares <= 0.5) & (shares >= least), {})):
        row, column = np.nonzero(of)
        text = [f"{100 * share:.0f}" for share in shares[of]]
        numbers.append(Scatter(x=column, y=row, text=text, mode="text", hoverinfo="skip", textfont=font))
    return [cells, *numbers]


def _names(title: str, names: list[str]) -> dict[str, Any]:
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.5, len(names) - 0.5]}
    return plotting.axis(title) | ticks | {"fixedrange": True, "showgrid": False}


def _percent(title: str) -> dict[str, Any]:
    return plotting.bar(title, tickformat=".0%", tickvals=[0, 0.5, 1])
