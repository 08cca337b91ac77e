"""What a network predicts and what it has learnt, as figures. Arrays in, a Plotly figure out.

Figures leave the colours of text, grid and background open, so faint values fade into the background. A grid of small
pictures is one trace, whatever their number.
"""

import math

import numpy as np
from plotly.graph_objects import Figure, Heatmap, Image, Scatter

from atelier.data.mnist import CLASSES, SIDE
from atelier.figures import plotting
from atelier.figures.plotting import TEXT

COLUMNS = 4  # of a sheet of digits
WRONG = "#E5484D"  # readable on light and dark; a cross repeats it without colour
FRAME = "rgba(128, 128, 128, 0.6)"
TRACK = "rgba(128, 128, 128, 0.3)"  # behind a bar of confidence


# Digits --------------------------------------------------------------------------------------------------------------


def predictions(digits: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, colour: str) -> Figure:
    """Digits with the network's answer and confidence below; wrong answers have a frame and a cross.

    Args:
        digits: `uint8[N, 28, 28]`.
        labels: `int64[N]`, the true digits.
        probabilities: `float32[N, 10]`.
        colour: the network's.

    A click on a digit comes with its index as `customdata`.
    """
    width, height = SIDE + 6, SIDE + 16  # of a digit and the text below it, in pixels of the digit
    answers, confidences = probabilities.argmax(1), probabilities.max(1)
    right = answers == labels
    left, top = plotting.places(len(digits), COLUMNS, width, height)
    end, bar = left + SIDE, top + SIDE + 4
    rows = list(zip(labels, answers, confidences, right, strict=True))
    texts = [f"{'' if ok else '✗ '}<b>{answer}</b> {share:.0%}" for _, answer, share, ok in rows]
    tooltips = [
        f"True digit {label}, answer {answer}:<br>{'right' if ok else 'wrong'}, confidence {share:.1%}"
        for label, answer, share, ok in rows
    ]
    return plotting.pictures(
        [
            _sheet(digits, width, height),
            plotting.lines(np.stack([left, bar, end, bar], 1).reshape(-1, 2, 2), TRACK, 6),
            plotting.lines(np.stack([left, bar, left + SIDE * confidences, bar], 1).reshape(-1, 2, 2), colour, 6),
            plotting.lines(plotting.rectangles(left - 1, top - 1, end + 1, top + SIDE + 1)[~right], WRONG, 4),
            Scatter(x=left + SIDE / 2, y=top + SIDE + 10, text=texts, mode="text", hoverinfo="skip"),
            plotting.hover_cells(tooltips, COLUMNS, width, height, SIDE / 2, height / 2),
        ],
        f"{right.sum()} of {len(digits)} answers are right",
        "Bar: confidence. Red frame and ✗: wrong",
        COLUMNS * width,
        len(set(top)) * height,
    )


def attention(digits: np.ndarray, attention: np.ndarray, colour: str) -> Figure:
    """Digits under the attention that each patch gets.

    Args:
        digits: `uint8[N, 28, 28]`.
        attention: `float32[N, g, g]`, the share of each patch.
        colour: the network's.
    """
    patch = SIDE / attention.shape[1]
    width = round(SIDE + patch)  # digits are one patch apart, so that all patches are cells of one grid
    overlay = Heatmap(
        z=100 * plotting.tile(attention, COLUMNS, np.nan),
        x0=patch / 2,
        y0=patch / 2,
        dx=patch,
        dy=patch,
        customdata=plotting.tile(plotting.numbered(*attention.shape), COLUMNS, 0),
        hovertemplate="Digit %{customdata[0]}, patch in row %{customdata[1]}, column %{customdata[2]}:<br>"
        "%{z:.1f}% of the attention<extra></extra>",
        zmin=0,
        zmax=100 * plotting.robust_max(attention),
        colorscale=plotting.fading(colour, 0, 0.9),
        colorbar=plotting.colour_bar("share of the attention", ticksuffix="%"),
    )
    return plotting.pictures(
        [_sheet(digits // 2, width, width), overlay],  # darker digits, so that the colour is visible
        "Attention",
        "Stronger colour: more attention to this patch",
        COLUMNS * width,
        math.ceil(len(digits) / COLUMNS) * width,
    )


def boxes(scene: np.ndarray, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, colour: str) -> Figure:
    """A scene with the boxes of a detector, their digits and their scores.

    Args:
        scene: `uint8[H, W]`.
        boxes: `float32[K, 4]`, left, top, right, bottom in pixels.
        labels: `int64[K]`, 0 to 9.
        scores: `float32[K]`, 0 to 1.
        colour: the network's.
    """
    height, width = scene.shape
    notes = [
        {"x": (left + right) / 2, "y": y, "yanchor": anchor, "text": text, "hovertext": f"{label}: {score:.1%}"}
        for (left, top, right, bottom), label, score in zip(boxes, labels, scores, strict=True)
        for y, anchor, text in ((top, "bottom", f"<b>{label}</b>"), (bottom, "top", f"{score:.0%}"))
    ]
    figure = plotting.pictures(
        [
            Image(source=plotting.png(scene), x0=0.5, y0=0.5, hoverinfo="skip"),
            plotting.lines(plotting.rectangles(*boxes.T), colour, 4),
        ],
        f"{len(boxes)} digit{'' if len(boxes) == 1 else 's'} found" if len(boxes) else "No digit found",
        "Above each box: the digit. Below: the confidence",
        width,
        height,
    )
    figure.update_layout(annotations=notes)
    return figure.update_annotations(showarrow=False, bgcolor=colour, font={"color": "black"}, borderpad=1)


def confusion(matrix: np.ndarray, colour: str) -> Figure:
    """A confusion matrix. Each count above 0 is printed, and a single mistake is visible.

    Args:
        matrix: `int64[10, 10]`, a row for each true digit, a column for each answer.
        colour: the network's.

    A click on a cell comes with the answer as `x` and the true digit as `y`.
    """
    counts = np.asarray(matrix)
    shade = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
    most = max(1.0, math.log10(max(1, counts.sum(1).max())))  # all of one digit, so that shades keep their meaning
    true, answer = np.nonzero(counts)
    printed = counts[true, answer]
    dark = np.log10(printed) > 0.8 * most  # black text is readable on full colour, on light and dark pages
    cells = Heatmap(
        z=shade,
        zmin=0,
        zmax=most,
        text=[[f"{count} of {row.sum()}" for count in row] for row in counts],
        hovertemplate="True digit %{y}, answer %{x}: %{text}<extra></extra>",
        xgap=2,
        ygap=2,
        colorscale=plotting.fading(colour, 0.2, 1),
        showscale=False,  # the counts are printed
    )
    numbers = [
        Scatter(x=answer[some], y=true[some], text=printed[some], mode="text", hoverinfo="skip", textfont=font)
        for some, font in ((~dark, {"size": TEXT}), (dark, {"size": TEXT, "color": "black"}))
    ]
    digits = {"tickvals": list(range(CLASSES)), "fixedrange": True, "showgrid": False, "automargin": True}
    first, last = -0.5, CLASSES - 0.5
    return plotting.figure(
        [cells, *numbers],
        "Confusion matrix",
        "Which digits are mixed up. Diagonal: right",
        xaxis=digits | {"title": {"text": "Answer"}, "constrain": "domain", "range": [first, last]},
        yaxis=digits
        | {"title": {"text": "True digit"}, "scaleanchor": "x", "constrain": "domain", "range": [last, first]},
        dragmode=False,
    )


# What a network has learnt -------------------------------------------------------------------------------------------


def filters(filters: np.ndarray, colour: str, changes: bool = False) -> Figure:
    """The filters of a convolution, on one scale around zero.

    Args:
        filters: `float32[K, h, w]`.
        colour: the network's, for values above zero; those below are grey.
        changes: whether `filters` are not weights but their changes since the start.
    """
    if changes:
        title, subtitle, unit = "Filter changes since the start", "Coloured: increased. Grey: decreased.", "change"
    else:
        title, subtitle, unit = "Filters", "Coloured: positive weight. Grey: negative weight.", "weight"
    columns = math.ceil(math.sqrt(len(filters)))
    most = plotting.robust_max(np.abs(filters)) or 1.0  # at the start all changes are 0
    sheet = plotting.tile(filters, columns, np.nan)
    cells = Heatmap(
        z=sheet,
        x0=0.5,
        y0=0.5,
        zmin=-most,
        zmax=most,
        customdata=plotting.tile(plotting.numbered(*filters.shape), columns, 0),
        hovertemplate="Filter %{customdata[0]}, row %{customdata[1]}, column %{customdata[2]}:<br>"
        f"{unit} %{{z:.3f}}<extra></extra>",
        colorscale=plotting.signed(colour),
        colorbar=plotting.colour_bar(unit),
    )
    _, height, width = filters.shape
    left, top = plotting.places(len(filters), columns, width + 1, height + 1)
    frames = plotting.lines(plotting.rectangles(left, top, left + width, top + height), FRAME, 1)
    return plotting.pictures([cells, frames], title, subtitle, sheet.shape[1], sheet.shape[0])


def position_similarity(similarity: np.ndarray) -> Figure:
    """Similarity of a Transformer's position embeddings: a map for each patch (arXiv:2010.11929, figure 7).

    Args:
        similarity: `float32[P, P]`, cosines (-1 to 1) between the P patches, row by row; P is a square number.
    """
    side = math.isqrt(len(similarity))
    maps = plotting.tile(similarity.reshape(-1, side, side), side, np.nan)
    cells = Heatmap(
        z=maps,
        x0=0.5,
        y0=0.5,
        zmin=-1,
        zmax=1,
        customdata=plotting.tile(plotting.numbered(side, side, side, side).reshape(-1, side, side, 4), side, 0),
        hovertemplate="Patch in row %{customdata[0]}, column %{customdata[1]}<br>and patch in row %{customdata[2]}, "
        "column %{customdata[3]}:<br>similarity %{z:.2f}<extra></extra>",
        colorscale="Viridis",
        colorbar=plotting.colour_bar("similarity", tickvals=[-1, 0, 1]),
    )
    height, width = maps.shape
    return plotting.pictures(
        [cells], "Which positions are similar?", "One map for each patch: its similarity to all", width, height
    )


def _sheet(digits: np.ndarray, width: int, height: int) -> Image:
    """All digits as one picture, each at the left top of a cell; transparent between them."""
    pixels = plotting.tile(plotting.opaque(digits), COLUMNS, 0, right=width - SIDE, below=height - SIDE)
    return Image(source=plotting.png(pixels), x0=0.5, y0=0.5, hoverinfo="skip")
