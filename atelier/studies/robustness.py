"""Robustness: which network still reads digits that are moved, resized, blurred or covered, and when does it fail?

Ten corruptions at five severities, on the same 1,000 of the 10,000 test digits (stratified by class), with the same
pixels for every network; and 240 digits that other people wrote with a pen. `evaluation/corruptions.py` defines the
corruptions. The quick version has 250 digits and three severities.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from atelier.data import hands, mnist
from atelier.figures import sweeps
from atelier.studies.study import ACCURACY, DIGITS, NETWORK, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS

UNCHANGED, PEN = "none", "pen strokes"  # in place of a corruption
STROKES = 240  # digits of the pen-stroke set
COLUMNS, HEIGHT = 3, 880  # panels side by side in the figure; its pixels


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
    conditions = [(UNCHANGED, 0, digits), (PEN, 0, STROKES)]
    conditions += [(corruption, severity, digits) for corruption in CORRUPTIONS for severity in severities]
    return [
        {"network": network, "corruption": corruption, "severity": severity, "digits": count}
        for corruption, severity, count in conditions
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


@lru_cache(maxsize=1)  # the next network reads the same digits
def digits(corruption: str, amount: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Corrupted test digits `uint8[count, 28, 28]` and their labels `int64[count]`.

    The same test digit always gets the same corruption.
    """
    from atelier.evaluation import corruptions
    from atelier.studies import trial

    if corruption == PEN:
        return hands.pen_strokes()[:2]
    images, labels = mnist.load("test")
    numbers = trial.stratified(labels, count)
    if corruption == UNCHANGED:
        return images[numbers], labels[numbers]
    corrupted = [corruptions.corrupt(images[number], corruption, amount, seed=number) for number in numbers]
    return np.stack(corrupted), labels[numbers]


# Findings ------------------------------------------------------------------------------------------------------------


def findings(table: pd.DataFrame) -> Findings:
    read, pen = compared(table), table[table.corruption == PEN].accuracy
    means, harm = read.mean(), read.groupby("corruption").mean().mean(axis=1).sort_values()
    if read.empty:
        sentences = ["No corruption has been measured with all of these networks."]
    else:
        best, worst = (MODELS[network].title for network in (means.idxmax(), means.idxmin()))
        sentences = [f"The {best} copes best: it reads {sweeps.percent(means.max())} of the changed digits correctly."]
        if best != worst:
            sentences.append(f"The {worst} reads the fewest: {sweeps.percent(means.min())}.")
        sentences.append(f"“{harm.index[0]}” does the most harm: {sweeps.percent(harm.iloc[0])} are read correctly.")
        if len(harm) > 1:
            sentences.append(f"“{harm.index[-1]}” does the least harm: {sweeps.percent(harm.iloc[-1])}.")
    if len(pen):
        sentences.append(
            f"Of the pen strokes, {sweeps.percent(pen.min())} to {sweeps.percent(pen.max())} are read correctly."
        )
    return Findings(None if read.empty or len(means) < 2 else means.idxmax(), tuple(sentences))


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each network by corruption and severity, as far as all networks in the table have read them."""
    corrupted = table[table.corruption.isin(CORRUPTIONS)]
    by_network = corrupted.pivot_table(index=["corruption", "severity"], columns="network", values="accuracy")
    return by_network.reindex(columns=sweeps.networks(table)).dropna()


def figure(table: pd.DataFrame) -> Figure:
    """A panel for each corruption, and one for the pen strokes with each network at its place in the registry."""
    measured = [corruption for corruption in CORRUPTIONS if corruption in set(table.corruption)]
    titles = [f"<b>{corruption}</b>" for corruption in [*measured, PEN]]
    figure = sweeps.subplots(
        titles, COLUMNS, "Which changes make a network fail?", "0: unchanged · 5: strongest · higher is better", HEIGHT
    )
    last = sweeps.cell(len(measured), COLUMNS)
    for network in sweeps.networks(table):
        rows = table[table.network == network]
        for number, corruption in enumerate(measured):
            at = rows[rows.corruption.isin([UNCHANGED, corruption])].sort_values("severity")
            line = sweeps.line(
                network,
                at.severity,
                at.accuracy,
                showlegend=False,
                marker_size=7,
                customdata=[in_words(*amount) for amount in zip(at.amount, at.unit, strict=True)],
                hovertemplate="<b>%{fullData.name}</b>, %{customdata}: %{y:.1%} accuracy<extra></extra>",
            )
            figure.add_trace(line, *sweeps.cell(number, COLUMNS))
        pen = rows[rows.corruption == PEN].accuracy
        dot = sweeps.line(  # its legend entry stands for all lines of the network
            network,
            [list(MODELS).index(network)] * len(pen),
            pen,
            mode="markers",
            marker={"color": MODELS[network].colour, "size": 15},
            cliponaxis=False,
            hovertemplate="<b>%{fullData.name}</b>: %{y:.1%} of the pen strokes<extra></extra>",
        )
        figure.add_trace(dot, *last)
    figure.update_yaxes(range=[0, 1.03], tickformat="~%", tickvals=[0, 0.5, 1], showticklabels=False)
    figure.update_yaxes(showticklabels=True, col=1)
    figure.update_xaxes(range=[-0.4, 5.4], tickvals=list(range(6)))
    names = {"tickvals": list(range(len(MODELS))), "ticktext": [""] * len(MODELS), "range": [-0.6, len(MODELS) - 0.4]}
    return figure.update_xaxes(names, row=last[0], col=last[1])


def in_words(amount: float, unit: str) -> str:
    return f"{amount:.0%}" if unit == "share" else f"{amount:g} {unit}" if amount else unit


STUDY = Study(
    name="robustness",
    title="Robustness",
    question="Which network copes best with digits that are moved, turned, resized, blurred or covered?",
    method="Each network reads the same 1,000 changed test digits (quick: 250). It also reads "
    f"{STROKES} digits that other people wrote with a pen.",
    columns={
        "network": NETWORK,
        "corruption": Column("Change", "text", choices=(UNCHANGED, PEN, *CORRUPTIONS)),
        "severity": Column("Severity"),
        "digits": DIGITS,
        "amount": Column("Amount", format="%.2f"),
        "unit": Column("Unit", "text"),
        "accuracy": ACCURACY,
    },
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
