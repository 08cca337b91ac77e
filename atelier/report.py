"""A comparison as a report to hand in: one HTML file with tables, interactive figures and the origin of each number.

It opens in any browser, offline and without this project: it holds plotly.js, which draws the figures, and each table
as CSV. `report.html.jinja` is its template.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from atelier.data import mnist
from atelier.evaluation import failures, tables, tally
from atelier.evaluation.failures import Predictions
from atelier.evaluation.tally import Entry
from atelier.figures import comparison
from atelier.studies import STUDIES
from atelier.studies.results import Result, outdated
from atelier.studies.study import Column, Study
from atelier.zoo import MODELS

SOURCES = {"shipped": "Ready-made results", "local": "Measured on our computer"}
HEIGHT = 460  # pixels, of figures without a height
LONG = 12  # rows: longer tables are folded
NETWORKS = ("network", "first", "second")  # columns with networks
INK, GRID = "#12202E", "#C3D0DC"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
)

_AXIS = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False}
_PAPER = {  # colours that figures leave open
    "layout": {
        "font": {"color": INK, "family": "sans-serif"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {"bgcolor": "white", "font": {"color": INK}, "align": "left", "namelength": -1},
    }
}


@dataclass(frozen=True)
class Plot:
    label: str
    html: Markup


@dataclass(frozen=True)
class Table:
    file: str  # name of its CSV
    html: Markup
    csv: str  # base64
    rows: int


@dataclass(frozen=True)
class Part:
    title: str
    level: int  # of the heading
    texts: Sequence[str] = ()
    figures: Sequence[Plot] = ()
    tables: Sequence[Table] = ()


def to_html(
    results: Mapping[str, Mapping[str, Result]],
    names: Mapping[str, str] | None = None,
    expected: Mapping[str, str] | None = None,
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> str:
    """The report, about 5 MB.

    Args:
        results: by study and source, see STUDIES and SOURCES; studies without results are left out.
        names: of runs, by id.
        expected: by study the key of the answer that the class expected.
        entries: the class's own drawings and the networks' answers.
        now: the date on the report; None for today.

    Raises:
        DamagedDataError: if MNIST's files are damaged.
    """
    names = {name: spec.title for name, spec in MODELS.items()} | dict(names or {})
    measured = {name: results[name] for name in STUDIES if results.get(name)}
    parts: list[Part] = []
    for name, by_source in measured.items():
        parts += study_parts(STUDIES[name], by_source, (expected or {}).get(name), names)
    if entries:
        parts.append(drawings(entries, names))
    if measured:
        parts.append(origins(measured))
    return TEMPLATES.get_template("report.html.jinja").render(
        parts=parts,
        date=(now or datetime.now()).strftime("%d %B %Y"),
        plotly_js=Markup(get_plotlyjs()),
        ink=INK,
        grid=GRID,
        long=LONG,
    )


# Parts ---------------------------------------------------------------------------------------------------------------


def study_parts(
    study: Study, by_source: Mapping[str, Result], expected: str | None, names: Mapping[str, str]
) -> Iterator[Part]:
    texts = [study.question, study.method]
    if expected is not None and expected in study.answers:
        texts.append(f"We expected: {study.answers[expected]}")
    yield Part(study.title, 2, texts)
    for source, result in by_source.items():
        yield from result_parts(study, source, result, names)


def result_parts(study: Study, source: str, result: Result, names: Mapping[str, str]) -> Iterator[Part]:
    """The findings of a study, its figure and table, and for the leaderboard costs and mistakes."""
    file, rows = f"{study.name}-{source}", result.table
    titled = rows.assign(title=[names.get(network, network) for network in rows.network])
    findings = study.findings(titled)
    answer = "Too little has been measured." if findings.answer is None else study.answers[findings.answer]
    texts = [f"We found: {answer}", " ".join(findings.sentences)]
    if changed := [names.get(network, network) for network in outdated(result.provenance)]:
        texts.append(f"These networks have been retrained since: {', '.join(changed)}.")
    quick = " (quick)" if result.provenance.quick else ""
    plots = [plot(study.figure(titled), study.question)]
    yield Part(SOURCES[source] + quick, 3, texts, plots, [table(rows, file, names, study.columns)])
    if study.name == "leaderboard":
        colours = [MODELS[model].colour for model in rows.model]
        figures = comparison.trade_offs(titled.assign(colour=colours))
        plots = [plot(figure, comparison.COSTS[cost][0]) for cost, figure in figures.items()]
        if plots:
            yield Part("What does accuracy cost?", 4, ["Higher is more accurate, further left is cheaper."], plots)
    if result.predictions:
        _, labels = mnist.load("test")
        yield from mistakes(failures.load_predictions(result.predictions, labels, rows.network), rows, file, names)


def mistakes(predictions: Predictions, rows: pd.DataFrame, file: str, names: Mapping[str, str]) -> Iterator[Part]:
    """Confusion matrices, the digits on which networks disagree, the significance of differences, and calibration."""
    if not predictions.networks:
        return
    styles = {row.network: (names.get(row.network, row.network), MODELS[row.model].colour) for row in rows.itertuples()}
    matrices = [
        plot(
            comparison.confusion(failures.confusion_matrix(predictions, network), *styles[network]),
            f"Confusion matrix of the {styles[network][0]}",
        )
        for network in predictions.networks
    ]
    confusions = table(tables.confusions(predictions), f"{file}-confusions", names)
    yield Part("Which digits are mixed up?", 4, [], matrices, [confusions])
    if len(predictions.networks) > 1:
        heads = dict(names)
        for network in predictions.networks:
            title = names.get(network, network)
            heads |= {f"{network}{failures.GUESS}": title, f"{network}{failures.CONFIDENCE}": f"{title}, confidence"}
        agreement = table(tables.agreement(predictions), f"{file}-agreement", names)
        misread = table(tables.misread(predictions), f"{file}-misread", heads)
        yield Part("Which digits are hard, and for how many networks?", 4, tables=[agreement, misread])
        pairs = table(tables.pairs(predictions), f"{file}-pairs", names)
        test = "McNemar's exact test of each pair of networks."
        yield Part("Which differences may be chance?", 4, [test], tables=[pairs])
    bins = tables.reliability(predictions)
    curves = [(*styles[network], part) for network, part in bins.groupby("network", sort=False)]
    yield Part(
        "Is the confidence right?",
        4,
        ["Of all answers with 90% confidence, 90% should be correct."],
        [plot(comparison.reliability(curves), "Accuracy of each network against its confidence")],
        [table(bins, f"{file}-reliability", names)],
    )


def drawings(entries: Sequence[Entry], names: Mapping[str, str]) -> Part:
    """The class's own drawings, and which networks read them correctly."""
    counts = tally.by_network(list(entries)).rename_axis("network").reset_index()
    answers = pd.DataFrame([{"true_digit": entry.label, **entry.answers} for entry in entries])
    tables = [table(counts, "tally", names), table(answers, "drawings", names)]
    return Part("Our own digits", 2, ["Which networks read our own drawings correctly?"], tables=tables)


def origins(measured: Mapping[str, Mapping[str, Result]]) -> Part:
    """When, where and how each study was measured."""
    rows = [
        {
            "study": STUDIES[study].title,
            "source": SOURCES[source],
            "date": result.provenance.date[:10],
            "device": result.provenance.device_name,
            "seeds": ", ".join(map(str, result.provenance.seeds)),
            "seconds": result.provenance.seconds,
            "points": f"{result.provenance.points} of {result.provenance.of}",
            "commit": result.provenance.commit,
            "data": result.provenance.data,
            "versions": ", ".join(f"{name} {version}" for name, version in result.provenance.versions.items()),
            "command": result.provenance.command,
        }
        for study, by_source in measured.items()
        for source, result in by_source.items()
    ]
    return Part("Where the numbers come from", 2, tables=[table(pd.DataFrame(rows), "origins", {})])


# Pieces --------------------------------------------------------------------------------------------------------------


def plot(figure: Figure, label: str) -> Plot:
    """An interactive copy of a figure."""
    html = (
        Figure(figure)
        .update_layout(template=_PAPER, autosize=True)
        .to_html(
            config={"displaylogo": False, "responsive": True, "modeBarButtons": [["toImage", "resetScale2d"]]},
            include_plotlyjs=False,
            full_html=False,
            default_height=f"{figure.layout.height or HEIGHT}px",
        )
    )
    return Plot(label, Markup(html))


def table(
    rows: pd.DataFrame, file: str, names: Mapping[str, str], columns: Mapping[str, Column] | None = None
) -> Table:
    """A table with titles in place of networks and labels in place of columns; its CSV keeps both.

    A table with fewer rows than columns is transposed.
    """
    heads = dict(names) | {name: column.label for name, column in (columns or {}).items()}
    texts = rows.map(in_words).rename(columns=lambda name: heads.get(name, name.replace("_", " ").capitalize()))
    for column in NETWORKS:
        if column in rows:
            texts.iloc[:, rows.columns.get_loc(column)] = [names.get(name, name) for name in rows[column]]
    is_wide = len(rows) < len(rows.columns)
    with pd.option_context("display.max_colwidth", None):
        html = texts.T.to_html(header=False) if is_wide else texts.to_html(index=False)
    csv = base64.b64encode(rows.to_csv(index=False).encode()).decode()
    return Table(file, Markup(html), csv, len(rows))


def in_words(value: Any) -> str:
    if not isinstance(value, int | float | np.number):
        return str(value)
    number = float(value)
    is_whole = math.isfinite(number) and (number == int(number) or abs(number) >= 10_000)
    return "–" if math.isnan(number) else f"{number:,.0f}" if is_whole else f"{number:,.4g}"
