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
class Cell:
    text: str
    is_number: bool


@dataclass(frozen=True)
class Table:
    file: str  # name of its CSV
    lines: list[list[Cell]]  # the first is the head
    csv: str  # base64
    count: int  # rows

    @property
    def folded(self) -> bool:
        return self.count > LONG


@dataclass(frozen=True)
class Plot:
    label: str
    html: Markup


@dataclass(frozen=True)
class Part:
    title: str = ""
    texts: Sequence[str] = ()
    figures: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    level: int = 4  # of the heading


@dataclass(frozen=True)
class Section:
    title: str
    texts: Sequence[str]
    parts: Sequence[Part]


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
    measured = {name: dict(results[name]) for name in STUDIES if results.get(name)}
    sections = [
        study_section(STUDIES[name], by_source, (expected or {}).get(name), names)
        for name, by_source in measured.items()
    ]
    if entries:
        sections.append(drawings(entries, names))
    if measured:
        sections.append(origins([item for by_source in measured.values() for item in by_source.items()]))
    return TEMPLATES.get_template("report.html.jinja").render(
        sections=sections,
        date=(now or datetime.now()).strftime("%d %B %Y"),
        plotly_js=Markup(get_plotlyjs()),
        ink=INK,
        grid=GRID,
    )


# Sections ------------------------------------------------------------------------------------------------------------


def study_section(
    study: Study, by_source: Mapping[str, Result], expected: str | None, names: Mapping[str, str]
) -> Section:
    texts = [study.question, study.method]
    if expected is not None and expected in study.answers:
        texts.append(f"We expected: {study.answers[expected]}")
    parts = [part for source, result in by_source.items() for part in result_parts(study, source, result, names)]
    return Section(study.title, texts, parts)


def result_parts(study: Study, source: str, result: Result, names: Mapping[str, str]) -> Iterator[Part]:
    """The findings of a study, its figure and table, and for the leaderboard costs and mistakes."""
    file, rows = f"{study.name}-{source}", result.table
    titled = rows.assign(title=[names.get(network, network) for network in rows.network])
    findings = study.findings(titled)
    answer = "Too little has been measured." if findings.answer is None else study.answers[findings.answer]
    texts = [f"We found: {answer}", " ".join(findings.sentences)]
    if changed := [names.get(network, network) for network in outdated(result.provenance)]:
        texts.append(f"These networks have been retrained since: {', '.join(changed)}.")
    yield Part(
        SOURCES[source] + (" (quick)" if result.provenance.quick else ""),
        texts,
        [plot(study.figure(titled), study.question)],
        [table(rows, file, names, study.columns)],
        level=3,
    )
    if study.name == "leaderboard":
        colours = [MODELS[model].colour for model in rows.model]
        figures = comparison.trade_offs(titled.assign(colour=colours))
        plots = [plot(figure, comparison.COSTS[cost][0]) for cost, figure in figures.items()]
        if plots:
            yield Part("What does accuracy cost?", ["Higher is more accurate, further left is cheaper."], plots)
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
    yield Part("Which digits are mixed up?", figures=matrices, tables=[confusions])
    if len(predictions.networks) > 1:
        heads = dict(names)
        for network in predictions.networks:
            title = names.get(network, network)
            heads |= {f"{network}{failures.GUESS}": title, f"{network}{failures.CONFIDENCE}": f"{title}, confidence"}
        agreement = table(tables.agreement(predictions), f"{file}-agreement", names)
        misread = table(tables.misread(predictions), f"{file}-misread", heads)
        yield Part("Which digits are hard, and for how many networks?", tables=[agreement, misread])
        pairs = table(tables.pairs(predictions), f"{file}-pairs", names)
        yield Part("Which differences may be chance?", ["McNemar's exact test of each pair of networks."], (), [pairs])
    bins = tables.reliability(predictions)
    curves = [(*styles[network], part) for network, part in bins.groupby("network", sort=False)]
    yield Part(
        "Is the confidence right?",
        ["Of all answers with 90% confidence, 90% should be correct."],
        [plot(comparison.reliability(curves), "Accuracy of each network against its confidence")],
        [table(bins, f"{file}-reliability", names)],
    )


def drawings(entries: Sequence[Entry], names: Mapping[str, str]) -> Section:
    """The class's own drawings, and which networks read them correctly."""
    counts = tally.by_network(list(entries)).rename_axis("network").reset_index()
    answers = pd.DataFrame([{"true_digit": entry.label, **entry.answers} for entry in entries])
    part = Part(tables=[table(counts, "tally", names), table(answers, "drawings", names)])
    return Section("Our own digits", ["Which networks read our own drawings correctly?"], [part])


def origins(results: Sequence[tuple[str, Result]]) -> Section:
    """When, where and how each study was measured."""
    rows = []
    for source, result in results:
        provenance = result.provenance
        rows.append(
            {
                "study": STUDIES[provenance.study].title,
                "source": SOURCES[source],
                "date": provenance.date[:10],
                "device": provenance.device_name,
                "seeds": ", ".join(map(str, provenance.seeds)),
                "seconds": provenance.seconds,
                "points": f"{provenance.points} of {provenance.of}",
                "commit": provenance.commit,
                "data": provenance.data,
                "versions": ", ".join(f"{name} {version}" for name, version in provenance.versions.items()),
                "command": provenance.command,
            }
        )
    return Section("Where the numbers come from", [], [Part(tables=[table(pd.DataFrame(rows), "origins", {})])])


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
    shown = rows.assign(
        **{column: [names.get(name, name) for name in rows[column]] for column in NETWORKS if column in rows}
    )
    head = [heads.get(column, column.replace("_", " ").capitalize()) for column in shown]
    lines = [[cell(value) for value in line] for line in (head, *shown.itertuples(index=False))]
    if len(rows) < len(rows.columns):
        lines = [list(line) for line in zip(*lines, strict=True)]
    csv = base64.b64encode(rows.to_csv(index=False).encode()).decode()
    return Table(file, lines, csv, len(rows))


def cell(value: object) -> Cell:
    if not isinstance(value, int | float | np.number):
        return Cell(str(value), False)
    is_whole = math.isfinite(value) and (value == int(value) or abs(value) >= 10_000)
    return Cell("–" if math.isnan(value) else f"{value:,.0f}" if is_whole else f"{value:,.4g}", True)
