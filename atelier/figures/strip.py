"""All eight steps of Faster R-CNN in one figure: the whole way at a glance, and the way to each step."""

from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.figures import plotting
from atelier.figures.boxes import FAINT, KEPT, NOTHING, SIZES

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, Trace

STEPS, COLUMNS = 8, 4


def strip(walk: "Trace", decision: "Decision", row: int, column: int, names: list[str], step: int) -> Figure:
    """All eight steps, small, in two rows; the one that is looked at is framed. A click comes with a step's number,
    from 0, as `customdata`.

    Args:
        walk, decision: what to show.
        row, column: the place of the map whose anchors are shown.
        names: of the steps.
        step: the one that is looked at, from 0.
    """
    (height, width), gap = walk.picture.shape, 10  # pixels between steps
    line = max(24, round(0.03 * COLUMNS * width))  # and for a name above each: names do not shrink with the figure
    right, bottom = COLUMNS * (width + gap) - gap, STEPS // COLUMNS * (height + line)
    left, top = plotting.places(STEPS, COLUMNS, width + gap, height + line)
    at = list(zip(left, top + line, strict=True))
    pictures = np.repeat(walk.picture[None, ..., None] // 2, STEPS, 0)
    pictures[[0, -1]] *= 2
    opaque = np.concatenate([pictures] * 3 + [np.full_like(pictures, 255)], -1)
    sheet = plotting.png(plotting.tiled(opaque, COLUMNS, 0, gap, line))
    features = walk.features[walk.features.std((1, 2)).argmax()]
    columns = max(1, round(2 * width / height))
    crops = plotting.tiled(walk.crops[: 2 * columns].mean(1), columns, np.nan)
    classes = walk.probabilities.argmax(1)
    read = walk.refined[np.arange(len(classes)), classes][classes > 0]
    in_picture = np.array([width / walk.scene_size[1], height / walk.scene_size[0]] * 2)
    figure = plotting.pictures(
        [
            Image(source=sheet, x0=0.5, y0=line + 0.5, hoverinfo="skip"),
            _small_map(at[1], walk.picture.shape, features, colorscale="Viridis"),
            _small_boxes(at[2], np.clip(walk.anchors[row, column], 0, [width, height] * 2), 1, SIZES[1]),
            _small_map(at[3], walk.picture.shape, walk.objectness.max(-1), colorscale=FAINT, zmin=0, zmax=1).update(
                x0=at[3][0],
                y0=at[3][1],  # the first anchors have their middle on the picture's corner
            ),
            _small_boxes(at[4], walk.proposals, 1),
            _small_map(at[5], walk.picture.shape, crops, colorscale="Viridis"),
            _small_boxes(at[6], read, 1),
            _small_boxes(at[7], decision.found.boxes * in_picture, 2),
            _small_boxes(at[step], np.array([[-3, -3, width + 3, height + 3]]), 4),
            _sensor(np.arange(STEPS).reshape(-1, COLUMNS), width, height, gap, line),
        ],
        title="",
        subtitle="",
        width=right,
        height=bottom,
    )
    for number, (name, (x, y)) in enumerate(zip(names, at, strict=True)):
        text, ground = f"<b>{number + 1} {name}</b>", KEPT if number == step else "#FFFFFF"
        figure.add_annotation(text=text, bgcolor=ground, x=x, y=y, xanchor="left", yanchor="bottom")
    figure.update_annotations(showarrow=False, borderpad=2, font={"color": "black", "size": 14})
    (start, end), (bottom, above) = figure.layout.xaxis.range, figure.layout.yaxis.range  # and room for the frame
    return figure.update_layout(
        title=None, margin_t=8, xaxis_range=[start - 4, end + 4], yaxis_range=[bottom + 4, above]
    )


def _small_boxes(at: tuple[int, int], boxes: np.ndarray, width: int, colour: str = KEPT) -> Scatter:
    """Boxes of a picture whose left upper corner is there."""
    return plotting.lines(plotting.rectangles(*(boxes + np.array([*at, *at])).T), colour, width)


def _small_map(at: tuple[int, int], shape: tuple[int, int], values: np.ndarray, **scale: Any) -> Heatmap:
    """A map over a whole picture of this shape whose left upper corner is there."""
    (x, y), dy, dx = at, shape[0] / values.shape[0], shape[1] / values.shape[1]
    place = {"x0": x + dx / 2, "dx": dx, "y0": y + dy / 2, "dy": dy}
    return Heatmap(z=values, **place, showscale=False, hoverinfo="skip", **scale)


def _sensor(numbers: np.ndarray, width: int, height: int, gap: int, line: int) -> Heatmap:
    """Nothing to see, but a click comes with the number of the cell."""
    place = {"x0": width / 2, "dx": width + gap, "y0": line + height / 2, "dy": height + line}
    return Heatmap(z=0 * numbers, customdata=numbers, **place, colorscale=NOTHING, showscale=False, hoverinfo="none")
