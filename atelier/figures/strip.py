"""The eight steps of a detector in one figure, which is also the way to each step."""

from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.figures import plotting
from atelier.figures.boxes import FAINT, KEPT, SIZES

if TYPE_CHECKING:
    from atelier.explain.proposals import Decision, Trace

STEPS, COLUMNS = 8, 4
GAP = 10  # pixels of the picture between steps


def strip(trace: "Trace", decision: "Decision", row: int, column: int, names: list[str], step: int) -> Figure:
    """Draw all eight steps, small, in two rows. A click comes with a step's number, from 0, as `customdata`.

    Args:
        trace, decision: the steps.
        row, column: the place of the map whose anchors are drawn.
        names: of the steps.
        step: the step with a frame, from 0.
    """
    height, width = trace.picture.shape
    line = max(24, round(0.03 * COLUMNS * width))  # room for a name; names do not shrink with the figure
    cell_width, cell_height = width + GAP, height + line
    left, top = plotting.places(STEPS, COLUMNS, cell_width, cell_height)
    corners = list(zip(left, top + line, strict=True))
    pictures = np.repeat(trace.picture[None] // 2, STEPS, 0)
    pictures[[0, -1]] = trace.picture
    sheet = plotting.png(plotting.tile(plotting.opaque(pictures), COLUMNS, 0, GAP, line))
    features = trace.features[trace.features.std((1, 2)).argmax()]
    columns = max(1, round(2 * width / height))
    crops = plotting.tile(trace.crops[: 2 * columns].mean(1), columns, np.nan)
    classes = trace.probabilities.argmax(1)
    digits = trace.refined[np.arange(len(classes)), classes][classes > 0]
    to_picture = np.array([width / trace.scene_size[1], height / trace.scene_size[0]] * 2)
    objectness = _small_map(corners[3], trace.picture.shape, trace.objectness.max(-1), FAINT, zmin=0, zmax=1)
    x, y = corners[3]
    figure = plotting.pictures(
        [
            Image(source=sheet, x0=0.5, y0=line + 0.5, hoverinfo="skip"),
            _small_map(corners[1], trace.picture.shape, features),
            _small_boxes(corners[2], np.clip(trace.anchors[row, column], 0, [width, height] * 2), 1, SIZES[1]),
            objectness.update(x0=x, y0=y),  # the first anchors are centred on the corner of the picture
            _small_boxes(corners[4], trace.proposals, 1),
            _small_map(corners[5], trace.picture.shape, crops),
            _small_boxes(corners[6], digits, 1),
            _small_boxes(corners[7], decision.detections.boxes * to_picture, 2),
            _small_boxes(corners[step], np.array([[-3, -3, width + 3, height + 3]]), 4),
            plotting.hover_cells([""] * STEPS, COLUMNS, cell_width, cell_height, width / 2, line + height / 2).update(
                hoverinfo="none", hovertemplate=None
            ),
        ],
        title="",
        subtitle="",
        width=COLUMNS * cell_width - GAP,
        height=STEPS // COLUMNS * cell_height,
    )
    for number, (name, (x, y)) in enumerate(zip(names, corners, strict=True)):
        text, background = f"<b>{number + 1} {name}</b>", KEPT if number == step else "#FFFFFF"
        figure.add_annotation(text=text, bgcolor=background, x=x, y=y, xanchor="left", yanchor="bottom")
    figure.update_annotations(showarrow=False, borderpad=2, font={"color": "black", "size": 14})
    (start, end), (bottom, above) = figure.layout.xaxis.range, figure.layout.yaxis.range  # and room for the frame
    return figure.update_layout(
        title=None, margin_t=8, xaxis_range=[start - 4, end + 4], yaxis_range=[bottom + 4, above]
    )


def _small_boxes(corner: tuple[int, int], boxes: np.ndarray, width: int, colour: str = KEPT) -> Scatter:
    """Boxes of a picture whose upper left corner is at `corner`."""
    return plotting.lines(plotting.rectangles(*(boxes + np.array([*corner, *corner])).T), colour, width)


def _small_map(
    corner: tuple[int, int], shape: tuple[int, int], values: np.ndarray, colours: Any = "Viridis", **scale: Any
) -> Heatmap:
    """A map over a whole picture of this shape whose upper left corner is at `corner`."""
    (x, y), dy, dx = corner, shape[0] / values.shape[0], shape[1] / values.shape[1]
    place = {"x0": x + dx / 2, "dx": dx, "y0": y + dy / 2, "dy": dy}
    return Heatmap(z=values, **place, colorscale=colours, showscale=False, hoverinfo="skip", **scale)
