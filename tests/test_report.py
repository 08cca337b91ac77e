"""The report: one file with tables, figures and the origin of each number, in which foreign names stay text."""

import base64
import re
from dataclasses import replace
from datetime import datetime
from html import escape, unescape

import numpy as np
import pandas as pd
import pytest

from atelier import MODELS, report
from atelier.evaluation.tally import Entry
from atelier.studies import STUDIES
from atelier.studies.results import Result
from tests.support.made_results import leaderboard, provenance

EVIL = "<script>alert('Ada & Co')</script>"


def hunger() -> Result:
    rows = [(name, size, seed, "demo", 9, 0.9) for name in MODELS for size in (100, 1_000) for seed in range(3)]
    columns = ["network", "size", "seed", "preset", "epochs", "accuracy"]
    return Result(pd.DataFrame(rows, columns=columns), provenance("data_hunger", quick=True), {})


@pytest.fixture(scope="module")
def measured():
    """Results by study and source; the run of the second leaderboard has an evil id."""
    own = leaderboard({"cnn": 100, EVIL: 101}, model="vit", device_name=EVIL, versions={"torch": EVIL})
    own.table["training_seconds"] = np.nan
    return {
        "leaderboard": {"shipped": leaderboard(), "local": own},
        "data_hunger": {"shipped": hunger()},
    }


@pytest.fixture(scope="module")
def html(measured):
    entries = [Entry(7, {"cnn": 7, "vit": 1}, []), Entry(2, {"cnn": 2, "vit": 2}, [])]
    return report.to_html(measured, {EVIL: f"{EVIL} II"}, {"data_hunger": "most"}, entries, datetime(2026, 11, 24))


@pytest.fixture(scope="module")
def text(html):
    """What a person reads: no scripts, no tags."""
    body = re.sub(r"<script.*?</script>", " ", html[html.index("<body>") :], flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


@pytest.fixture(scope="module")
def tables(html):
    """The tables by the name of their file."""
    files = re.findall(r'<a download="([^"]*)\.csv" href="data:text/csv;base64,([^"]*)"', html)
    return {name: base64.b64decode(content).decode() for name, content in files}


def test_study_has_question_method_expectation_findings_and_date(measured, text):
    study, result = STUDIES["data_hunger"], measured["data_hunger"]["shipped"]
    findings = study.findings(result.table)
    for part in (study.title, study.question, study.method, study.answers["most"], *findings.sentences):
        assert part in text
    assert "24 November 2026" in text
    assert STUDIES["cost"].title not in text  # which has no results


def test_every_table_is_there_as_csv(measured, tables):
    parts = ("", "-confusions", "-agreement", "-misread", "-pairs", "-reliability")
    boards = {f"leaderboard-{source}{part}" for source in ("shipped", "local") for part in parts}
    assert tables.keys() == boards | {"data_hunger-shipped", "tally", "drawings", "origins"}
    assert tables["data_hunger-shipped"] == measured["data_hunger"]["shipped"].table.to_csv(index=False)


def test_origins_and_own_drawings_are_in_tables(tables):
    origin = tables["origins"].splitlines()[1]
    for part in ("2026-11-23", "2 CPU cores", "0, 1", "torch 2.15.0", "001f603ab0cd", "0123456789abcdef"):
        assert part in origin
    assert "python -m atelier study" in origin
    assert tables["tally"].splitlines()[1:] == ["cnn,2,2,1.0", "vit,1,2,0.5"]


def test_wide_table_is_transposed_and_long_table_folded(html, text):
    titles = " ".join(spec.title for spec in MODELS.values())
    assert f"Network {titles}" in text  # one row per property
    assert "Parameters 1,000 2,000" in text
    assert html.count("<details>") == 1 + 2 * 3  # data hunger; confusions, misread digits and bins of both leaderboards


def test_figures_have_labels(html):
    labels = re.findall(r'<figure role="img" aria-label="([^"]*)">', html)
    own, shipped = 2, len(MODELS)
    assert len(labels) == 1 + (1 + 3 + shipped + 1) + (1 + 2 + own + 1)  # no training times of own runs
    assert all(labels)


def test_networks_with_other_weights_are_named():
    current = report.to_html({"data_hunger": {"shipped": hunger()}})
    result = hunger()
    old = replace(result, provenance=replace(result.provenance, weights={"vgg16": "0123456789abcdef"}))
    assert len(report.to_html({"data_hunger": {"shipped": old}})) > len(current)


def test_nothing_comes_from_elsewhere(html):
    own = html.replace(report.get_plotlyjs(), "")
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//[^"'\s>]*""", own)
    assert "url(" not in own
    assert "@import" not in own
    assert html.count(report.get_plotlyjs()) == 1
    assert len(html) < 7e6


def test_names_stand_for_runs_and_stay_text(html):
    name = escape(f"{EVIL} II").replace("&#x27;", "&#39;")
    assert name in html
    assert "<script>alert" not in html


def test_report_without_results_opens():
    assert "<h2>" not in report.to_html({})
