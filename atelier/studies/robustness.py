"""Robustness: which network still reads digits that are moved, resized, smudged or covered, and when does it fail?

Ten changes at five severities, to the same 1,000 of the 10,000 test digits (each class in its share), the same pixels
for every network; and 240 digits written with a pen, by other hands than MNIST's. What each change does to a digit
stands in `evaluation/robustness.py`. The quick version has 250 digits and three severities.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.data import hands, mnist
from atelier.figures import sweeps
from atelier.studies.study import Findings, Point, Row, Study
from atelier.zoo import MODELS

UNCHANGED, PEN = "none", "pen strokes"  # in place of a corruption
STROKES = 240  # digits of the pen-stroke set
COLUMNS, HEIGHT = 3, 880  # of the figure's panels; pixels of them all


@dataclass(frozen=True)
class Corruption:
    unit: str  # "share" is a part of the whole, 0 to 1
    amounts: tuple[float, ...]  # at severity 1, 2, …


CORRUPTIONS = {
    "shift": Corruption("px", (2, 4, 6, 8, 10)),
    "rotation": Corruption("°", (15, 30, 45, 60, 75)),
    "smaller": Corruption("share", (0.15, 0.3, 0.45, 0.6, 0.7)),
    "larger": Corruption("share", (0.2, 0.4, 0.6, 0.8, 1)),
    "thinner": Corruption("px", (0.3, 0.6, 0.9, 1.2, 1.5)),
    "thicker": Corruption("px", (0.5, 1, 1.5, 2, 2.5)),
    "noise": Corruption("share", (0.2, 0.4, 0.6, 0.8, 1)),
    "blur": Corruption("px", (1, 1.5, 2, 2.5, 3)),
    "occlusion": Corruption("px", (4, 6, 8, 10, 12)),
    "inversion": Corruption("share", (0.2, 0.4, 0.6, 0.8, 1)),
}


def points(quick: bool) -> list[Point]:
    digits, severities = (250, (1, 3, 5)) if quick else (1_000, (1, 2, 3, 4, 5))
    changes = [(UNCHANGED, 0, digits), (PEN, 0, STROKES)]
    changes += [(corruption, severity, digits) for corruption in CORRUPTIONS for severity in severities]
    return [
        {"network": network, "corruption": corruption, "severity": severity, "digits": count}
        for corruption, severity, count in changes
        for network in MODELS
    ]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.studies import trial

    corruption, severity = point["corruption"], point["severity"]
    amount, unit = 0, "unchanged"
    if corruption in CORRUPTIONS:
        amount, unit = CORRUPTIONS[corruption].amounts[severity - 1], CORRUPTIONS[corruption].unit
    images, labels = digits(corruption, amount, point["digits"])
    accuracy = yield from trial.accuracy(trial.shipped(point["network"], device), images, labels)
    yield point | {"amount": amount, "unit": unit, "accuracy": accuracy}


@lru_cache(maxsize=1)  # the next network reads the same ones
def digits(corruption: str, amount: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Changed test digits `uint8[count, 28, 28]` and their labels `int64[count]`. Each test digit is always changed in
    the same way."""
    from atelier.evaluation import corruptions
    from atelier.studies import trial

    if corruption == PEN:
        return hands.pen_strokes()[:2]
    images, labels = mnist.load("test")
    numbers = trial.stratified(labels, count)
    if corruption == UNCHANGED:
        return images[numbers], labels[numbers]
    changed = [corruptions.corrupt(images[number], corruption, amount, seed=number) for number in numbers]
    return np.stack(changed), labels[numbers]


# What the numbers say ------------------------------------------------------------------------------------------------


def findings(table: pd.DataFrame) -> Findings:
    changed = table[table.corruption.isin(CORRUPTIONS)]
    by_network = changed.pivot_table(index=["corruption", "severity"], columns="network", values="accuracy")
    complete = by_network.reindex(columns=sweeps.networks(table)).dropna()
    if complete.empty:
        return Findings(None, ("No change has been shown to all of these networks.", f"{the_pen(table)}."))
    means = complete.mean()
    best, worst = means.idxmax(), means.idxmin()
    reads = f"reads {sweeps.percent(means[best])} of the changed digits right"
    if len(means) > 1:
        copes = f"The {MODELS[best].title} copes best: it {reads}"
        copes += f", the {MODELS[worst].title}, the worst, {sweeps.percent(means[worst])}" if best != worst else ""
    else:
        copes = f"The {MODELS[best].title}, alone here, {reads}"
    harm = complete.groupby("corruption").mean().mean(axis=1).sort_values()
    harms = f"most harm does “{harm.index[0]}” ({sweeps.percent(harm.iloc[0])} read right on average)"
    if len(harm) > 1:
        harms += f", least “{harm.index[-1]}” ({sweeps.percent(harm.iloc[-1])})"
    right = list(MODELS).index(best) if len(means) > 1 else None
    return Findings(right, (f"{copes}.", f"{the_pen(table)}; {harms}."))


def the_pen(table: pd.DataFrame) -> str:
    read = table[table.corruption == PEN].accuracy
    if read.empty:
        return "Nobody has read the pen strokes yet"
    least, most = sweeps.percent(read.min()), sweeps.percent(read.max())
    return f"Of the digits written with a pen, {least if least == most else f'{least} to {most}'} are read right"


def figure(table: pd.DataFrame) -> Figure:
    shown = [corruption for corruption in CORRUPTIONS if corruption in set(table.corruption)]
    titles = [f"<b>{corruption}</b>" for corruption in [*shown, PEN]]
    figure = sweeps.panels(
        titles, COLUMNS, "Which change makes it fail?", "0: unchanged · 5: strongest · higher is better", HEIGHT
    )
    for network in sweeps.networks(table):
        rows = table[table.network == network]
        for number, corruption in enumerate(shown):
            at = rows[rows.corruption.isin([UNCHANGED, corruption])].sort_values("severity")
            figure.add_trace(line(network, at), *sweeps.cell(number, COLUMNS))
        figure.add_trace(dot(network, rows[rows.corruption == PEN]), *sweeps.cell(len(shown), COLUMNS))
    figure.update_yaxes(range=[0, 1.03], tickformat="~%", tickvals=[0, 0.5, 1], showticklabels=False)
    figure.update_yaxes(showticklabels=True, col=1)
    figure.update_xaxes(range=[-0.4, 5.4], tickvals=list(range(6)))
    names = {"tickvals": list(range(len(MODELS))), "ticktext": [""] * len(MODELS), "range": [-0.6, len(MODELS) - 0.4]}
    row, column = sweeps.cell(len(shown), COLUMNS)
    return figure.update_xaxes(names, row=row, col=column)


def line(network: str, at: pd.DataFrame) -> Scatter:
    """A network's accuracy under one change; `at` has a row a severity, from none on."""
    spec = MODELS[network]
    return Scatter(
        x=at.severity,
        y=at.accuracy,
        legendgroup=network,
        showlegend=False,
        mode="lines+markers",
        line={"color": spec.colour, "width": 3},
        marker={"size": 7},
        customdata=[spoken(*amount) for amount in zip(at.amount, at.unit, strict=True)],
        hovertemplate=f"<b>{spec.title}</b>, %{{customdata}}: %{{y:.1%}} right<extra></extra>",
    )


def spoken(amount: float, unit: str) -> str:
    return f"{amount:.0%}" if unit == "share" else f"{amount:g} {unit}" if amount else unit


def dot(network: str, read: pd.DataFrame) -> Scatter:
    """A network's accuracy on the pen strokes, in its place among the five."""
    spec = MODELS[network]
    return Scatter(
        x=[list(MODELS).index(network)] * len(read),
        y=read.accuracy,
        name=spec.title,
        legendgroup=network,  # stands for all its lines in the legend
        mode="markers",
        marker={"color": spec.colour, "size": 15},
        cliponaxis=False,
        hovertemplate=f"<b>{spec.title}</b>: %{{y:.1%}} of the pen strokes right<extra></extra>",
    )


STUDY = Study(
    name="robustness",
    title="Robustness",
    question="Digits are moved, turned, resized, smudged or covered, in the same way for all five. Which network copes "
    "best?",
    answers=tuple(spec.title for spec in MODELS.values()),
    method="All read the same 1,000 changed test digits (quick: 250), and "
    f"{STROKES} written with a pen, by other hands.",
    columns=("network", "corruption", "severity", "digits", "amount", "unit", "accuracy"),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
