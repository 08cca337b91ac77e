"""What several networks make of the same digit, as figures: arrays in, Plotly figure out.

Colours of text, grid and ground are left open, as in `atelier.figures`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from plotly.colors import qualitative
from plotly.graph_objects import Figure, Image, Scatter, Scattergl

from atelier.data.mnist import SIDE
from atelier.explain.perturbations import KINDS, Flip
from atelier.figures import curves, plotting
from atelier.zoo import MODELS

# In pixels of a digit: a cell's width; a row's title, and its height with words beneath; two lines of columns' titles.
CELL, TITLE, ROW, HEAD = SIDE + 6, 9, SIDE + 30, 18
WHITE, BRIGHTER, DARKER = (247, 247, 247), (178, 24, 43), (33, 102, 172)  # of a step; colour-blind people see both


def grid(
    pictures: np.ndarray,
    texts: Sequence[Sequence[str]],
    told: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    subtitle: str,
) -> Figure:
    """Small pictures in rows, with a few words beneath each.

    Args:
        pictures: `uint8[rows, columns, 28, 28]`, or `uint8[rows, columns, 28, 28, 3]` in colour.
        texts: what stands beneath each picture, in HTML as Plotly knows it; about nine letters a line.
        told: what the mouse hears of each.
        rows: what stands above each row, in HTML.
        columns: and above each column, on top; none if there are none.
    """
    down, across = pictures.shape[:2]
    if pictures.ndim == 4:
        pictures = np.repeat(pictures[..., None], 3, axis=-1)
    opaque = np.concatenate([pictures, np.full_like(pictures[..., :1], 255)], axis=-1)
    sheet = plotting.tiled(opaque.reshape(-1, SIDE, SIDE, 4), across, 0, right=CELL - SIDE, below=ROW - SIDE)
    head = HEAD if columns else 0
    left, top = plotting.places(down * across, across, CELL, ROW)
    top = top + head + TITLE
    figure = plotting.pictures(
        [
            Image(source=plotting.png(sheet), x0=0.5, y0=head + TITLE + 0.5, hoverinfo="skip"),
            _text(np.zeros(down), top[::across] - TITLE / 2, rows, "middle right"),
            _text(left + SIDE / 2, top + SIDE + 2, [text for row in texts for text in row], "bottom center"),
            plotting.sensor(
                [text for row in told for text in row], across, CELL, ROW, SIDE / 2, head + TITLE + SIDE / 2
            ),
            _text(left[: len(columns)] + SIDE / 2, np.full(len(columns), head / 2), columns, "middle center"),
        ],
        title,
        subtitle,
        across * CELL,
        head + down * ROW,
    )
    return figure.update_xaxes(constraintoward="left").update_yaxes(constraintoward="top")


def _named(network: str, between: str) -> str:
    spec = MODELS[network]
    return f"<span style='color: {spec.colour}'>■</span> <b>{spec.title.replace(' ', between)}</b>"


def flips(networks: Sequence[str], kinds: Sequence[str], found: Mapping[tuple[str, str], Flip | None]) -> Figure:
    """The least changed digits that networks take for another; a row a kind of change, a column a network.

    Args:
        networks: names in MODELS.
        kinds: keys of KINDS.
        found: what `smallest_flip` says, by network and kind.
    """
    table = [[found[network, kind] for network in networks] for kind in kinds]
    blank = np.zeros((SIDE, SIDE), np.uint8)
    return grid(
        np.array([[flip.digit if flip else blank for flip in row] for row in table]),
        [[f"{flip.size}<br>→ <b>{flip.answer}</b>" if flip else "none<br>found" for flip in row] for row in table],
        [
            [f"{flip.size} {flip.direction}:<br>now it says {flip.answer}" if flip else "" for flip in row]
            for row in table
        ],
        [f"<b>{KINDS[kind].title}</b>: {KINDS[kind].measure}" for kind in kinds],
        [_named(network, "<br>") for network in networks],
        "How little flips each answer?",
        "Beneath: how much, and the new answer",
    )


def steps(
    networks: Sequence[str],
    digit: np.ndarray,
    signs: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
) -> Figure:
    """A digit, a step of the fast gradient sign method against each network, and where it leads; a column a network.

    Args:
        networks: names in MODELS; what follows is a network each.
        digit: `uint8[28, 28]`.
        signs: `int8[28, 28]`, 1 where the step makes the digit brighter, -1 darker.
        results: `uint8[28, 28]`.
        before, after: `float32[10]`, the network's probabilities.
    """
    colours = np.array([WHITE, BRIGHTER, DARKER], np.uint8)  # -1 is the last
    grey = [np.repeat(picture[..., None], 3, axis=-1) for picture in (digit, *results)]
    pairs = [[(chances.argmax(), chances.max()) for chances in when] for when in (before, after)]
    first, now = ([f"<b>{answer}</b><br>{share:.0%}" for answer, share in when] for when in pairs)
    was, became = ([f"{answer}, {share:.1%} sure" for answer, share in when] for when in pairs)
    return grid(
        np.array([[grey[0]] * len(networks), [colours[sign] for sign in signs], grey[1:]]),
        [first, [""] * len(networks), now],
        [was, ["red: brighter, blue: darker"] * len(networks), became],
        ["Before", "The step: red is brighter, blue darker", "After"],
        [_named(network, "<br>") for network in networks],
        "Does a small step fool them?",
        "Beneath: the answer, and how sure it is",
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
            [f"a {label}, {distance:.2f} away" for label, distance in zip(*row, strict=True)]
            for row in zip(labels, distances, strict=True)
        ],
        [_named(network, " ") for network in networks],
        [],
        "Which ones are nearest?",
        "Nearest first · beneath: what each really is",
    )


def certainty(networks: Sequence[str], epsilons: np.ndarray, shares: np.ndarray, answers: np.ndarray) -> Figure:
    """How sure networks stay of their first answer as the step against them grows.

    Args:
        networks: names in MODELS.
        epsilons: `float[E]`, sizes of the step.
        shares: `float32[networks, E]`, the probability of the first answer.
        answers: `int64[networks]`, these answers.
    """
    lines = [
        Scatter(
            x=epsilons,
            y=share,
            name=MODELS[name].title,
            mode="lines+markers",
            line={"color": MODELS[name].colour, "width": 3},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"ε %{{x:.3f}}: %{{y:.1%}} sure of {answer}",
        )
        for name, share, answer, symbol in zip(networks, shares, answers, curves.SYMBOLS, strict=False)
    ]
    return plotting.figure(
        lines,
        "How sure do they stay?",
        "Of what they said at first, as the step grows",
        xaxis=plotting.axis("ε, share of full brightness"),
        yaxis=plotting.axis() | {"tickformat": "~%", "range": [-0.03, 1.03]},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.3, "yanchor": "top"},
    )


def neighbour_map(places: np.ndarray, labels: np.ndarray, place: np.ndarray, kept: float, network: str) -> Figure:
    """Where digits lie to a network, and where the current one falls.

    Args:
        places: `float32[N, 2]`.
        labels: `int64[N]`, their true digits.
        place: `float32[2]`, the current digit's.
        kept: the share of the differences between digits that the map's two directions hold.
        network: its name in MODELS.
    """
    traces, names = [], []
    for digit in np.unique(labels):
        group = places[labels == digit]
        traces.append(_points(group, {"size": 5, "color": qualitative.T10[digit]}, f"a {digit}"))
        x, y = np.median(group, axis=0)  # its name stands in the middle, so that nobody depends on colours
        names.append({"x": x, "y": y, "text": f"<b>{digit}</b>", "showarrow": False, "borderpad": 1})
    star = {"size": 24, "symbol": "star", "color": "white", "line": {"width": 3, "color": "black"}}
    axis = {"showticklabels": False, "zeroline": False}
    figure = plotting.figure(
        [*traces, _points(place[None], star, "this digit")],
        f"Where does {MODELS[network].title} put it?",
        f"★ this digit · shown: {kept:.0%} of all differences",
        xaxis=axis | {"title": {"text": "First principal component"}},
        yaxis=axis | {"title": {"text": "Second principal component"}, "scaleanchor": "x"},
        annotations=names,
        uirevision=network,
    )
    return figure.update_annotations(bgcolor="rgba(255, 255, 255, 0.8)", font={"color": "black", "size": plotting.TEXT})


def _points(places: np.ndarray, marker: dict, told: str) -> Scattergl:
    return Scattergl(
        x=places[:, 0], y=places[:, 1], mode="markers", marker=marker, hovertemplate=f"{told}<extra></extra>"
    )


def _text(x: np.ndarray, y: np.ndarray, text: Sequence[str], position: str) -> Scatter:
    return Scatter(
        x=x,
        y=y,
        text=text,
        mode="text",
        textposition=position,
        textfont={"size": plotting.TEXT},
        hoverinfo="skip",
        cliponaxis=False,
    )
