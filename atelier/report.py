"""A comparison as a report to hand in: one HTML file with tables, interactive figures and where each number comes from.

It opens in any browser, without a network and without this project: plotly.js, which draws the figures, is inside it
once, and so is each table as CSV.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from numbers import Number

import pandas as pd
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from atelier.data import mnist
from atelier.evaluation import failures, tables, tally
from atelier.evaluation.tally import Entry
from atelier.figures import comparison
from atelier.studies import STUDIES, leaderboard
from atelier.studies.results import Result, outdated
from atelier.studies.study import Study
from atelier.zoo import MODELS

SOURCES = {"shipped": "Shipped with the project", "local": "Measured on our computer"}
HEIGHT = 460  # pixels, of a figure that does not know its own
LONG = 12  # rows: longer tables are folded up
NETWORKS = ("network", "first", "second")  # columns that hold networks
INK, GRID = "#12202E", "#C3D0DC"  # as on the light pages: a report is paper

_AXIS = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False}
_PAPER = {  # what figures leave open
    "layout": {
        "font": {"color": INK, "family": "sans-serif"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {"bgcolor": "white", "font": {"color": INK}, "align": "left", "namelength": -1},
    }
}
_CSS = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; background: white; line-height: 1.5;
       font-family: sans-serif; color: #12202E; }
h2 { margin-top: 3rem; border-top: 2px solid #C3D0DC; padding-top: 1rem; }
figure { margin: 1rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #C3D0DC; vertical-align: top; }
.head td, td:first-child { font-weight: 700; }
.number { text-align: right; }
.names { border-bottom: 1px solid #12202E; padding: 0.3rem; }
@media print { h2 { break-before: page; } figure, tr { break-inside: avoid; } }
"""


def to_html(
    found: Mapping[str, Mapping[str, Result]],
    names: Mapping[str, str] | None = None,
    expected: Mapping[str, int] | None = None,
    entries: Sequence[Entry] = (),
    now: datetime | None = None,
) -> str:
    """The whole report, about 5 MB.

    Args:
        found: results by study and then by source, see STUDIES and SOURCES; studies without results are left out.
        names: what people call their runs, by the run's id.
        expected: of a study, the place of the answer that the class had expected.
        entries: the class's own drawings and what each network said to them.
        now: the date on the report; that of today if None.

    Raises:
        DamagedDataError: if MNIST's files are damaged.
    """
    names = {name: spec.title for name, spec in MODELS.items()} | dict(names or {})
    studies = [(STUDIES[name], dict(found[name])) for name in STUDIES if found.get(name)]
    parts = []
    for study, results in studies:
        parts += about(study, (expected or {}).get(study.name))
        for source, result in results.items():
            parts += measured(study, source, result, names)
    if entries:
        parts += drawn(entries, names)
    if studies:
        parts += circumstances([(source, result) for _, results in studies for source, result in results.items()])
    else:
        parts.append("<p>No study has been measured yet.</p>")
    date, body = (now or datetime.now()).strftime("%d %B %Y"), "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Deep Learning Atelier: report</title>
<style>{_CSS}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<h1>How do neural networks compare at reading digits?</h1>
<p class="names">{date} · Names:</p>
{body}
</body>
</html>
"""


# Sections ------------------------------------------------------------------------------------------------------------


def about(study: Study, expected: int | None) -> Iterator[str]:
    yield f"<h2>{escape(study.title)}</h2><p><b>{escape(study.question)}</b></p><p>{escape(study.method)}</p>"
    if expected is not None and 0 <= expected < len(study.answers):
        yield f"<p>We expected: {escape(study.answers[expected])}</p>"


def measured(study: Study, source: str, result: Result, names: Mapping[str, str]) -> Iterator[str]:
    """What a study found: in words, as figures, as tables."""
    findings, file = study.findings(result.table), f"{study.name}-{source}"
    figure, sentences = study.figure(result.table), " ".join(findings.sentences)
    if study.name == "leaderboard":  # which alone has people's own runs
        sentences = called_by_name(figure, sentences, result.table, names)
    yield f"<h3>{escape(SOURCES.get(source, source))}{' (quick)' if result.header.get('quick') else ''}</h3>"
    answer = "too little is measured to tell." if findings.right is None else study.answers[findings.right]
    yield f"<p>What we found: {escape(answer)}</p><p>{escape(sentences)}</p>"
    if changed := [escape(names.get(network, network)) for network in outdated(result.header)]:
        yield f"<p>Measured with other weights than they have now: {', '.join(changed)}.</p>"
    yield drawing(figure, study.question)
    yield table(result.table, file, names)
    if study.name == "leaderboard":
        yield from costs(result.table, names)
    if result.predictions:
        _, labels = mnist.load("test")
        yield from mistakes(failures.said(result.predictions, labels, result.table.network), result.table, file, names)


def called_by_name(figure: Figure, sentences: str, rows: pd.DataFrame, names: Mapping[str, str]) -> str:
    """The leaderboard's sentences, and its figure, which is changed, with the names that people gave their runs."""
    titles = {leaderboard.title(row): names.get(row.network, row.network) for _, row in rows.iterrows()}
    figure.update_yaxes(tickvals=list(titles), ticktext=[escape(name) for name in titles.values()])
    for title, name in titles.items():
        if name != title:
            sentences = sentences.replace(title, f"“{name}”")
    return sentences


def costs(rows: pd.DataFrame, names: Mapping[str, str]) -> Iterator[str]:
    """Accuracy against what it costs."""
    titles = [names.get(network, network) for network in rows.network]
    shown = rows.assign(title=titles, colour=[MODELS[model].colour for model in rows.model])
    if figures := comparison.trade_offs(shown):
        yield "<h4>What does accuracy cost?</h4><p>Further up is more accurate, further left is cheaper.</p>"
        drawn = (drawing(figure, comparison.COSTS[cost][0]) for cost, figure in figures.items())
        yield f'<div class="figures">{"".join(drawn)}</div>'


def mistakes(said: failures.Said, rows: pd.DataFrame, file: str, names: Mapping[str, str]) -> Iterator[str]:
    """Who takes which digits for which, where they disagree, which differences may be chance, who is too sure."""
    if not said.networks:
        return
    styles = {row.network: (names.get(row.network, row.network), MODELS[row.model].colour) for row in rows.itertuples()}
    yield "<h4>Which digits are taken for which?</h4>"
    yield f'<div class="figures">{"".join(confusions(said, styles))}</div>'
    yield table(tables.confusions(said), f"{file}-confusions", names)
    if len(said.networks) > 1:
        yield from disagreements(said, file, names)
    yield "<h4>Can they be believed?</h4><p>Of all digits that a network is 90% sure of, it should read 90% right.</p>"
    bins = tables.reliability(said)
    curves = [(*styles[network], part) for network, part in bins.groupby("network", sort=False)]
    yield drawing(comparison.reliability(curves), "How often each network is right against how sure it is")
    yield table(bins, f"{file}-reliability", names)


def confusions(said: failures.Said, styles: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for network in said.networks:
        title, colour = styles[network]
        figure = comparison.confusion(failures.confusion(said, network), title, colour)
        yield drawing(figure, f"{title}: which digits it takes for which")


def disagreements(said: failures.Said, file: str, names: Mapping[str, str]) -> Iterator[str]:
    """Which digits some networks read right and others wrong, and whether that may be chance."""
    yield "<h4>Which digits are hard, and for how many?</h4>"
    yield table(tables.agreement(said), f"{file}-agreement", names)
    yield "<p>What each network says to the digits that any of them misreads, and how sure it is.</p>"
    heads = {}
    for network in said.networks:
        title = names.get(network, network)
        heads |= {f"{network}{failures.GUESS}": title, f"{network}{failures.CONFIDENCE}": f"{title} is sure"}
    yield table(tables.misread(said), f"{file}-misread", heads)
    yield "<h4>Which differences may be chance?</h4><p>McNemar's exact test of any two networks.</p>"
    yield table(tables.pairs(said), f"{file}-pairs", names)


def drawn(entries: Sequence[Entry], names: Mapping[str, str]) -> Iterator[str]:
    """What the class has drawn, and who read it right."""
    yield "<h2>Our own digits</h2><p><b>Who reads what we have drawn ourselves?</b></p>"
    yield table(tally.by_network(list(entries)).rename_axis("network").reset_index(), "tally", names)
    answers = pd.DataFrame([{"true_digit": entry.label, **entry.answers} for entry in entries])
    yield table(answers, "drawings", names)


def circumstances(results: Sequence[tuple[str, Result]]) -> Iterator[str]:
    """When and where each study was measured, and how to measure it again."""
    rows = []
    for source, result in results:
        header = result.header
        rows.append(
            {
                "study": header.get("title", header.get("study", "")),
                "source": SOURCES.get(source, source),
                "date": str(header.get("date", ""))[:10],
                "device": header.get("device_name", ""),
                "seeds": ", ".join(map(str, header.get("seeds", []))),
                "seconds": header.get("seconds"),
                "points": f"{header.get('points', '?')} of {header.get('of', '?')}",
                "commit": header.get("commit", ""),
                "data": header.get("data", ""),
                "versions": ", ".join(f"{name} {version}" for name, version in header.get("versions", {}).items()),
                "command": header.get("command", ""),
            }
        )
    yield "<h2>Where the numbers come from</h2>"
    yield table(pd.DataFrame(rows), "circumstances", {})


# Pieces --------------------------------------------------------------------------------------------------------------


def drawing(figure: Figure, told: str) -> str:
    """A figure, interactive; it is not changed."""
    paper = Figure(figure).update_layout(template=_PAPER, autosize=True)
    config = {"displaylogo": False, "responsive": True, "modeBarButtons": [["toImage", "resetScale2d"]]}
    plot = paper.to_html(
        config=config,
        include_plotlyjs=False,
        full_html=False,
        default_height=f"{figure.layout.height or HEIGHT}px",
    )
    return f'<figure role="img" aria-label="{escape(told)}">{plot}</figure>'


def table(rows: pd.DataFrame, file: str, names: Mapping[str, str]) -> str:
    """A table, and the same as CSV. Networks go by their names, except in the CSV. A table that is wider than high
    lies on its side."""
    columns = [column for column in NETWORKS if column in rows]
    shown = rows.assign(**{column: [names.get(name, name) for name in rows[column]] for column in columns})
    lines = [[names.get(column, column.replace("_", " ")) for column in shown], *shown.itertuples(index=False)]
    if len(rows) < len(rows.columns):
        lines = list(zip(*lines, strict=True))
    head, *body = ("".join(map(cell, line)) for line in lines)
    body = "".join(f"<tr>{line}</tr>" for line in body)
    html = f'<div class="table"><table><tr class="head">{head}</tr>{body}</table></div>'
    if len(rows) > LONG:
        html = f"<details><summary>All {len(rows):,} rows</summary>{html}</details>"
    content = base64.b64encode(rows.to_csv(index=False).encode()).decode()
    link = f'<a download="{escape(file)}.csv" href="data:text/csv;base64,{content}">CSV</a>'
    return f"{html}<p>{link}</p>"


def cell(value: object) -> str:
    if not isinstance(value, Number):
        return f"<td>{escape(str(value))}</td>"
    whole = math.isfinite(value) and (value == int(value) or abs(value) >= 10_000)
    text = "–" if math.isnan(value) else f"{value:,.0f}" if whole else f"{value:,.4g}"
    return f'<td class="number">{text}</td>'
