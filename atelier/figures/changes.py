"""Figures that compare networks on one digit: perturbations, adversarial examples, nearest neighbours.

Colours of text, grid and background are left open, as in `atelier.figures.plotting`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from plotly.colors import qualitative
from plotly.graph_objects import Figure, Image, Scatter, Scattergl

from atelier.data.mnist import SIDE
from atelier.explain.perturbations import PERTURBATIONS, Flip
from atelier.figures import curves, plotting
from atelier.zoo import MODELS

# In pixels of a digit: width of a cell; height of a row's title, of a row with its captions, of the columns' titles.
CELL, TITLE, ROW, HEAD = SIDE + 6, 9, SIDE + 30, 18
WHITE, BRIGHTER, DARKER = (247, 247, 247), (178, 24, 43), (33, 102, 172)  # of a step; safe for colour-blind people


def grid(
    pictures: np.ndarray,
    captions: Sequence[Sequence[str]],
    tooltips: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    subtitle: str,
) -> Figure:
    """Small pictures in rows, with a caption below each.

    Args:
        pictures: `uint8[rows, columns, 28, 28]`, or `uint8[rows, columns, 28, 28, 3]` in colour.
        captions: below the pictures, in Plotly's HTML; about nine letters a line.
        tooltips: of the pictures.
        rows: titles above the rows, in HTML.
        columns: titles above the columns, in HTML; may be empty.
    """
    down, across = pictures.shape[:2]
    if pictures.ndim == 4:
        pictures = np.repeat(pictures[..., None], 3, axis=-1)
    opaque = np.concatenate([pictures, np.full_like(pictures[..., :1], 255)], axis=-1)
    sheet = plotting.tile(opaque.reshape(-1, SIDE, SIDE, 4), across, 0, right=CELL - SIDE, below=ROW - SIDE)
    head = HEAD if columns else 0
    left, top = plotting.places(down * across, across, CELL, ROW)
    top = top + head + TITLE
    hover = [text for row in tooltips for text in row]
    figure = plotting.pictures(
        [
            Image(source=plotting.png(sheet), x0=0.5, y0=head + TITLE + 0.5, hoverinfo="skip"),
            plotting.labels(np.zeros(down), top[::across] - TITLE / 2, rows, "middle right"),
            plotting.labels(
                left + SIDE / 2, top + SIDE + 2, [text for row in captions for text in row], "bottom center"
            ),
            plotting.hover_cells(hover, across, CELL, ROW, SIDE / 2, head + TITLE + SIDE / 2),
            plotting.labels(left[: len(columns)] + SIDE / 2, np.full(len(columns), head / 2), columns),
        ],
        title,
        subtitle,
        across * CELL,
        head + down * ROW,
    )
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def _title(network: str, separator: str) -> str:
    spec = MODELS[network]
    return f"<span style='color: {spec.colour}'>■</span> <b>{spec.title.replace(' ', separator)}</b>"


def flips(networks: Sequence[str], kinds: Sequence[str], flips: Mapping[tuple[str, str], Flip | None]) -> Figure:
    """The smallest changes that change the answers: a row for each kind of change, a column a network.

    Args:
        networks: names in MODELS.
        kinds: keys of PERTURBATIONS.
        flips: results of `smallest_flip` by network and kind.
    """
    table = [[flips[network, kind] for network in networks] for kind in kinds]
    blank = np.zeros((SIDE, SIDE), np.uint8)
    return grid(
        np.array([[flip.digit if flip else blank for flip in row] for row in table]),
        [[f"{flip.size}<br>→ <b>{flip.answer}</b>" if flip else "none<br>found" for flip in row] for row in table],
        [
            [f"{flip.size} {flip.direction}:<br>new answer {flip.answer}" if flip else "" for flip in row]
            for row in table
        ],
        [f"<b>{PERTURBATIONS[kind].title}</b>: {PERTURBATIONS[kind].measure}" for kind in kinds],
        [_title(network, "<br>") for network in networks],
        "Perturbations: smallest changes",
        "Below: the amount and the new answer",
    )


def steps(
    networks: Sequence[str],
    digit: np.ndarray,
    signs: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
) -> Figure:
    """A digit, a step of the fast gradient sign method and its result: a column for each network.

    Args:
        networks: names in MODELS; the other sequences have an element for each.
        digit: `uint8[28, 28]`.
        signs: `int8[28, 28]`, 1 where the step makes the digit brighter, -1 darker.
        results: `uint8[28, 28]`.
        before, after: `float32[10]`, the network's probabilities.
    """
    colours = np.array([WHITE, BRIGHTER, DARKER], np.uint8)  # index -1 is the last
    grey = [np.repeat(picture[..., None], 3, axis=-1) for picture in (digit, *results)]
    pairs = [[(p.argmax(), p.max()) for p in probabilities] for probabilities in (before, after)]
    first, last = ([f"<b>{answer}</b><br>{share:.0%}" for answer, share in row] for row in pairs)
    first_hover, last_hover = ([f"{answer}, {share:.1%} confidence" for answer, share in row] for row in pairs)
    return grid(
        np.array([[grey[0]] * len(networks), [colours[sign] for sign in signs], grey[1:]]),
        [first, [""] * len(networks), last],
        [first_hover, ["red: brighter, blue: darker"] * len(networks), last_hover],
        ["Before", "The step: red is brighter, blue darker", "After"],
        [_title(network, "<br>") for network in networks],
        "Adversarial examples",
        "Below: the answer and its confidence",
    )


def nearest(networks: Sequence[str], pictures: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> Figure:
    """The training digits that each network finds most similar, nearest first.

    Args:
        networks: names in MODELS, R of them, a row each.
        pictures: `uint8[R, K, 28, 28]`.
        labels: `int64[R, K]`, their true digits.
        distances: `float32[R, K]`, between their features.
    """
    return grid(
        pictures,
        [[f"<b>{label}</b>" for label in row] for row in labels],
        [
            [f"a {label}, distance {distance:.2f}" for label, distance in zip(*row, strict=True)]
            for row in zip(labels, distances, strict=True)
        ],
        [_title(network, " ") for network in networks],
        [],
        "Nearest neighbours",
        "Nearest first · below: the true digit",
    )


def confidence(networks: Sequence[str], epsilons: np.ndarray, shares: np.ndarray, answers: np.ndarray) -> Figure:
    """The confidence of each network in its first answer as the step against it grows.

    Args:
        networks: names in MODELS.
        epsilons: `float[E]`, sizes of the step.
        shares: `float32[networks, E]`, the probability of the first answer.
        answers: `int64[networks]`, the first answers.
    """
    lines = [
        Scatter(
            x=epsilons,
            y=share,
            name=MODELS[name].title,
            mode="lines+markers",
            line={"color": MODELS[name].colour, "width": 3},
            marker={"symbol": curves.SYMBOLS[number % len(curves.SYMBOLS)], "size": 8},
            hovertemplate=f"ε %{{x:.3f}}: %{{y:.1%}} for {answer}",
        )
        for number, (name, share, answer) in enumerate(zip(networks, shares, answers, strict=True))
    ]
    return plotting.figure(
        lines,
        "Confidence as the step grows",
        "Probability of the first answer",
        xaxis=plotting.axis("ε, share of full brightness"),
        yaxis=plotting.axis() | {"tickformat": "~%", "range": [-0.03, 1.03]},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.3, "yanchor": "top"},
    )


def neighbour_map(points: np.ndarray, labels: np.ndarray, point: np.ndarray, share: float, network: str) -> Figure:
    """The features of training digits and of one digit along their first two principal components.

    Args:
        points: `float32[N, 2]`.
        labels: `int64[N]`, their true digits.
        point: `float32[2]`, the current digit's.
        share: the share of the variance along the two components.
        network: its name in MODELS.
    """
    traces, names = [], []
    for digit in np.unique(labels):
        group = points[labels == digit]
        traces.append(_points(group, {"size": 5, "color": qualitative.T10[digit]}, f"a {digit}"))
        x, y = np.median(group, axis=0)  # the name stands here, so that nobody depends on colours
        names.append({"x": x, "y": y, "text": f"<b>{digit}</b>", "showarrow": False, "borderpad": 1})
    star = {"size": 24, "symbol": "star", "color": "white", "line": {"width": 3, "color": "black"}}
    axis = {"showticklabels": False, "zeroline": False}
    figure = plotting.figure(
        [*traces, _points(point[None], star, "this digit")],
        f"Similar digits in {MODELS[network].title}",
        f"★ this digit · the axes show {share:.0%} of the variance",
        xaxis=axis | {"title": {"text": "First principal component"}},
        yaxis=axis | {"title": {"text": "Second principal component"}, "scaleanchor": "x"},
        annotations=names,
        uirevision=network,
    )
    return figure.update_annotations(bgcolor="rgba(255, 255, 255, 0.8)", font={"color": "black", "size": plotting.TEXT})


def _points(points: np.ndarray, marker: dict, tooltip: str) -> Scattergl:
    return Scattergl(
        x=points[:, 0], y=points[:, 1], mode="markers", marker=marker, hovertemplate=f"{tooltip}<extra></extra>"
    )
