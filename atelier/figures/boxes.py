"""Figures of a detector's steps, from anchors to detections.

In all figures orange is what the detector keeps, grey what it drops, and light blue what is true. Colours of text and
background are left open, as in `atelier.figures.plotting`.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Picture
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.figures import panels, plotting

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, SlidingWindow, Trace

KEPT, DROPPED, TRUE = "#D55E00", "#9AA0A6", "#56B4E9"
SIZES = ("#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#FFFFFF")  # of anchors; Okabe and Ito, for colour-blind people
FAINT = plotting.fading(KEPT, 0, 0.9)
CUT = 28  # pixels of a sheet: height and width of a proposal's pixels, and of its map of 7 x 7
PLACE = CUT // 7
CELL, ROW, COLUMNS = CUT + 2 * PLACE, 2 * CUT + 4 * PLACE, 6
SHOWN = 12  # proposals on a sheet


# The picture and its features ----------------------------------------------------------------------------------------


def picture(picture: np.ndarray) -> Figure:
    """The picture `uint8[H, W]`; a tooltip gives the value of each pixel."""
    pixels = Heatmap(
        z=picture,
        zmin=0,
        zmax=255,
        colorscale=[[0, "#000000"], [1, "#FFFFFF"]],
        colorbar=plotting.colour_bar("ink in a pixel", tickvals=[0, 128, 255]),
        hovertemplate="Row %{y}, column %{x}: %{z}<extra></extra>",
    )
    height, width = picture.shape
    return plotting.pictures([pixels], "Input", f"{width} × {height} pixels", width, height)


def channels(maps: np.ndarray, chosen: np.ndarray, columns: int, prefix: str = "") -> Figure:
    """Some channels of a feature map, on one scale.

    Args:
        maps: `float32[C, h, w]`.
        chosen: `int64[K]`, their numbers.
        columns: of the sheet.
        prefix: of the subtitle.
    """
    tiles = plotting.tile(maps[chosen], columns, np.nan)
    numbers = np.broadcast_to(chosen[:, None, None] + 1, (len(chosen), *maps.shape[1:])).astype(np.int16)
    activations = Heatmap(
        z=tiles,
        x0=0.5,
        y0=0.5,
        zmin=0,
        zmax=plotting.robust_max(maps[chosen]) or 1.0,
        customdata=plotting.tile(numbers, columns, 0),
        colorscale="Viridis",
        colorbar=plotting.colour_bar("activation"),
        hovertemplate="Channel %{customdata}: %{z:.2f}<extra></extra>",
    )
    height, width = tiles.shape
    subtitle = f"{prefix}{len(chosen)} of {len(maps)} channels"
    return plotting.pictures([activations], "Feature maps", subtitle, width, height)


# First stage: anchors, objectness, proposals -------------------------------------------------------------------------


def anchors(trace: "Trace", row: int, column: int) -> Figure:
    """The anchors at a place of the map, and the best of them after the correction by the first stage.

    A click comes with the row and column of a place as `point`.
    """
    boxes, best = trace.anchors[row, column], trace.objectness[row, column].argmax()
    lines = []
    for number, (size, colour) in enumerate(zip(trace.anchor_sizes, SIZES, strict=False)):
        same_size = plotting.lines(plotting.rectangles(*boxes[number :: len(trace.anchor_sizes)].T), colour, 2)
        lines.append(same_size.update(name=f"{size:g} pixels", showlegend=True))
    shifted = plotting.lines(plotting.rectangles(*trace.shifted[row, column, [best]].T), KEPT, 5)
    marker = {"symbol": "cross", "size": 14, "color": "white", "line": {"width": 2, "color": "black"}}
    centre = Scatter(
        x=[trace.stride * column],
        y=[trace.stride * row],
        mode="markers",
        marker=marker,
        hoverinfo="skip",
        showlegend=False,
    )
    hidden: dict[str, Any] = {"colours": plotting.fading("#000000", 0, 0), "showscale": False}
    places = _places(trace, np.zeros(trace.objectness.shape[:2]), "Click to see its anchors", **hidden)
    figure = _overlay(
        trace.picture,
        [places, *lines, shifted.update(name="the best, corrected", showlegend=True), centre],
        "Anchors at this place",
        f"{len(boxes)} anchors · thick: the best, corrected",
    )
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"})


def anchor_scores(trace: "Trace", row: int, column: int) -> Figure:
    """The objectness of the anchors at a place: a column for each size, a row for each shape."""
    scores = trace.objectness[row, column].reshape(len(trace.anchor_shapes), -1)
    return plotting.figure(
        _table(scores, least=0),
        "Objectness of these anchors",
        f"In percent · highest: {scores.max():.1%}",
        xaxis=_categories("Size in pixels", [f"{size:g}" for size in trace.anchor_sizes]),
        yaxis=_categories("Height to width", [f"{shape:g}" for shape in trace.anchor_shapes])
        | {"autorange": "reversed"},
        dragmode=False,
    )


def objectness(trace: "Trace") -> Figure:
    """The highest objectness at each place."""
    bar = _percent("probability of any digit")
    places = _places(trace, trace.objectness.max(-1), "%{z:.1%} any digit", colours=FAINT, colorbar=bar)
    return _overlay(
        trace.picture,
        plotting.with_legend(places, plotting.ZERO, KEPT),
        "Objectness",
        f"The best of {trace.objectness.shape[2]} anchors at each place",
    )


def objectness_by_anchor(trace: "Trace") -> Figure:
    """The objectness of each anchor: a column for each size, a row for each shape."""
    maps, columns = np.moveaxis(trace.objectness, -1, 0), len(trace.anchor_sizes)
    names = [f"{size:g} px, {shape:g} : 1" for shape in trace.anchor_shapes for size in trace.anchor_sizes]
    tiles = plotting.tile(maps, columns, np.nan)
    numbers = np.broadcast_to(np.arange(len(maps))[:, None, None], maps.shape)
    heatmap = Heatmap(
        z=tiles,
        x0=0.5,
        y0=0.5,
        zmin=0,
        zmax=1,
        text=np.array([*names, ""])[plotting.tile(numbers, columns, len(maps))],
        colorscale="Viridis",
        colorbar=_percent("probability of any digit"),
        hovertemplate="%{text}: %{z:.1%}<extra></extra>",
    )
    height, width = tiles.shape
    sizes = ", ".join(f"{size:g}" for size in trace.anchor_sizes)
    subtitle = f"Columns: {sizes} pixels · lower is taller"
    return plotting.pictures([heatmap], "Objectness by anchor", subtitle, width, height)


def candidates(trace: "Trace", most: int) -> Figure:
    """The best boxes of the first stage; orange ones are kept by non-maximum suppression."""
    boxes = trace.candidates[:most]
    kept = np.isin(np.arange(len(boxes)), trace.kept)
    return _overlay(
        trace.picture,
        [
            plotting.lines(plotting.rectangles(*boxes[~kept].T), DROPPED, 1),
            plotting.lines(plotting.rectangles(*boxes[kept].T), KEPT, 2),
            _centres(boxes, trace.candidates_objectness[:most], kept),
        ],
        f"The best {len(boxes)} candidates",
        "Grey: dropped by non-maximum suppression",
    )


def survivors(trace: "Trace", most: int) -> Figure:
    """Those of the best boxes that non-maximum suppression keeps: the proposals."""
    kept = trace.kept[trace.kept < most]
    boxes, scores = trace.candidates[kept], trace.candidates_objectness[kept]
    return _overlay(
        trace.picture,
        [plotting.lines(plotting.rectangles(*boxes.T), KEPT, 2), _centres(boxes, scores, np.ones(len(boxes), bool))],
        f"{len(boxes)} proposals",
        "Kept by non-maximum suppression",
    )


def _centres(boxes: np.ndarray, scores: np.ndarray, kept: np.ndarray) -> Scatter:
    """The centres of the boxes, with their scores as tooltips."""
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    pairs = zip(scores, kept, strict=True)
    return Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"size": 6, "color": np.where(kept, KEPT, DROPPED)},
        text=[f"{score:.1%} any digit{'' if is_kept else ', dropped'}" for score, is_kept in pairs],
        hovertemplate="%{text}<extra></extra>",
    )


# Second stage: crops, classes, boxes ---------------------------------------------------------------------------------


def crops(trace: "Trace", chosen: int) -> Figure:
    """The best proposals: above their pixels, below the features that the second stage gets.

    A click comes with the number of a proposal as `customdata`.
    """
    boxes, scores = trace.proposals[:SHOWN], trace.proposals_objectness[:SHOWN]
    scene, maps = Picture.fromarray(trace.picture), trace.crops[:SHOWN].mean(1)  # (R, 7, 7)
    cuts = [np.asarray(scene.resize((CUT, CUT), Picture.Resampling.BILINEAR, box=tuple(box))) for box in boxes]
    sheet = plotting.tile(plotting.opaque(np.array(cuts)), COLUMNS, 0, right=CELL - CUT, below=ROW - CUT)
    lower = np.pad(maps, ((0, 0), (8, 0), (0, 0)), constant_values=np.nan)  # below the pixels and a gap
    left, top = plotting.places(len(cuts), COLUMNS, CELL, ROW)
    frame = plotting.rectangles(left - 1, top - 1, left + CUT + 1, top + 2 * CUT + PLACE + 1)[[chosen]]
    tooltips = [
        f"Proposal {number}: {score:.1%} any digit,<br>{right - x:.0f} × {bottom - y:.0f} pixels"
        for number, (score, (x, y, right, bottom)) in enumerate(zip(scores, boxes, strict=True), start=1)
    ]
    features = Heatmap(
        z=plotting.tile(lower, COLUMNS, np.nan, right=2, below=3),
        x0=PLACE / 2,
        dx=PLACE,
        y0=PLACE / 2,
        dy=PLACE,
        zmin=0,
        zmax=plotting.robust_max(maps) or 1.0,
        colorscale="Viridis",
        colorbar=plotting.colour_bar("mean of all channels"),
        hoverinfo="skip",
    )
    names = [f"<b>{number}</b> · {score:.0%}" for number, score in enumerate(scores, start=1)]
    return plotting.pictures(
        [
            Image(source=plotting.png(sheet), x0=0.5, y0=0.5, hoverinfo="skip"),
            features,
            plotting.lines(frame, KEPT, 4),
            plotting.labels(left + CUT / 2, top + 2 * CUT + 10, names),
            plotting.hover_cells(tooltips, COLUMNS, CELL, ROW, CUT / 2, CUT + PLACE / 2),
        ],
        f"The best {len(cuts)} proposals",
        "Above: pixels · below: features, 7 × 7",
        COLUMNS * CELL,
        math.ceil(len(cuts) / COLUMNS) * ROW,
    )


def classes(trace: "Trace", chosen: int) -> Figure:
    """The class probabilities of the best proposals, a row each. A click comes with the proposal as `y`."""
    shares = np.roll(trace.probabilities[:SHOWN], -1, axis=1)  # "no digit" last
    frame = plotting.rectangles(*np.array([[-0.5], [chosen - 0.5], [10.5], [chosen + 0.5]]))
    rows = _categories("Proposal", [str(number) for number in range(1, len(shares) + 1)])
    return plotting.figure(
        [*_table(shares), plotting.lines(frame, KEPT, 3)],
        "Class probabilities",
        "In percent: each row adds up to 100",
        xaxis=_categories("Digit", [*map(str, range(10)), "none"]),
        yaxis=rows | {"autorange": "reversed"},
        dragmode=False,
    )


def refined(trace: "Trace", chosen: int) -> Figure:
    """The best proposals before (dotted) and after the correction by the second stage; the chosen one is thick."""
    shares = trace.probabilities[:SHOWN]
    rows, digits = np.arange(len(shares)), shares[:, 1:].argmax(1)
    before, after = trace.proposals[:SHOWN], trace.refined[rows, 1 + digits]
    kept = shares.argmax(1) > 0
    answer = f"A {digits[chosen]}" if kept[chosen] else "No digit"
    return _overlay(
        trace.picture,
        [
            plotting.lines(plotting.rectangles(*before.T), DROPPED, 1).update(line_dash="dot"),
            plotting.lines(plotting.rectangles(*after[kept].T), KEPT, 1),
            plotting.lines(plotting.rectangles(*after[[chosen]].T), KEPT if kept[chosen] else DROPPED, 5),
            plotting.lines(plotting.rectangles(*before[[chosen]].T), "#FFFFFF", 2).update(line_dash="dot"),
        ],
        f"Proposal {chosen + 1}: refined box",
        f"{answer}, {shares[chosen].max():.0%} · dotted: proposed",
    )


def detections(scene: np.ndarray, decision: "Decision", true: np.ndarray) -> Figure:
    """The detections, the boxes that non-maximum suppression drops, and the true boxes.

    Args:
        scene: `uint8[H, W]`.
        decision: boxes in pixels of the scene.
        true: `float[T, 4]`.
    """
    detections, boxes = decision.detections, decision.candidates.boxes
    dropped = boxes[~np.isin(np.arange(len(boxes)), decision.kept)]
    figure = panels.boxes(scene, detections.boxes, detections.labels, detections.scores, KEPT)
    grey = plotting.lines(plotting.rectangles(*dropped.T), DROPPED, 1)
    blue = plotting.lines(plotting.rectangles(*np.reshape(true, (-1, 4)).T), TRUE, 3).update(line_dash="dash")
    return figure.add_traces([grey, blue])


# Sliding window ------------------------------------------------------------------------------------------------------


def sliding_window(picture: np.ndarray, answers: "SlidingWindow", colour: str) -> Figure:
    """The answers of a network for single digits at each place of a picture; `colour` is the network's."""
    places = Heatmap(
        z=answers.confidence,
        dx=answers.stride,
        dy=answers.stride,
        zmin=0,
        zmax=1,
        text=answers.labels,
        texttemplate="%{text}",
        textfont={"color": "white"},
        colorscale=plotting.fading(colour, 0, 0.9),
        colorbar=_percent("confidence"),
        hovertemplate="A %{text}, %{z:.0%} confidence<extra></extra>",
    )
    traces = plotting.with_legend(places, plotting.ZERO, colour)
    figure = _overlay(picture, traces, "Sliding window", f"{answers.labels.size:,} places, an answer for each")
    (rows, columns), half = np.array(answers.labels.shape) * answers.stride, answers.stride / 2  # whole cells at edges
    return figure.update_layout(xaxis_range=[-half, columns - half], yaxis_range=[rows - half, -half])


# Parts ---------------------------------------------------------------------------------------------------------------


def _overlay(picture: np.ndarray, traces: list, title: str, subtitle: str) -> Figure:
    """Traces over a picture, which is darkened so that they stand out."""
    height, width = picture.shape
    dark = Image(source=plotting.png(picture // 2), x0=0.5, y0=0.5, hoverinfo="skip")
    return plotting.pictures([dark, *traces], title, subtitle, width, height)


def _places(trace: "Trace", values: np.ndarray, tooltip: str, colours: list, **scale: Any) -> Heatmap:
    """Values in 0..1 at the places of the map."""
    return Heatmap(
        z=values,
        dx=trace.stride,
        dy=trace.stride,
        zmin=0,
        zmax=1,
        colorscale=colours,
        hovertemplate=f"{tooltip}<extra></extra>",
        **scale,
    )


def _table(shares: np.ndarray, least: float = 0.01) -> list:
    """A table of probabilities `float[R, C]`; those from `least` on are printed, in percent."""
    cells = Heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        colorscale=FAINT,
        showscale=False,  # the numbers are printed
        hovertemplate="%{z:.2%}<extra></extra>",
    )
    numbers = []
    for chosen, font in ((shares > 0.5, {"color": "black"}), ((shares <= 0.5) & (shares >= least), {})):
        row, column = np.nonzero(chosen)
        text = [f"{100 * share:.0f}" for share in shares[chosen]]
        numbers.append(Scatter(x=column, y=row, text=text, mode="text", hoverinfo="skip", textfont=font))
    return [cells, *numbers]


def _categories(title: str, names: list[str]) -> dict[str, Any]:
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.5, len(names) - 0.5]}
    return plotting.axis(title) | ticks | {"fixedrange": True, "showgrid": False}


def _percent(title: str) -> dict[str, Any]:
    return plotting.colour_bar(title, tickformat=".0%", tickvals=[0, 0.5, 1])
