"""The report: one file that says where its numbers come from and trusts nobody's names."""

import base64
import json
import re
from datetime import datetime
from html import unescape

import numpy as np
import pandas as pd
import pytest

from atelier import MODELS, report
from atelier.data import mnist
from atelier.evaluation.significance import wilson
from atelier.evaluation.tally import Entry
from atelier.studies import STUDIES
from atelier.studies.results import Result

EVIL = "<script>alert('Ada & Co')</script>"


def header(study, **changes):
    told = {"study": study, "title": STUDIES[study].title, "quick": False, "date": "2026-11-23T20:00:00+00:00"}
    told |= {"device": "cpu", "device_name": "2 CPU cores", "seeds": [0, 1], "versions": {"torch": "2.15.0"}}
    told |= {"commit": "001f603ab0cd", "data": "0123456789abcdef", "seconds": 125.0, "points": 5, "of": 5}
    return told | {"command": f"python -m atelier study {study}"} | changes


def leaderboard(*networks, **changes):
    """Networks that misread 100 of the test digits, 101, …"""
    _, labels = mnist.load("test")
    rows, predictions = [], {}
    for wrong, (network, model) in enumerate(networks, start=100):
        low, high = wilson(10_000 - wrong, 10_000)
        rows.append(
            {"network": network, "kind": "shipped" if network in MODELS else "run", "model": model}
            | {"accuracy": 1 - wrong / 10_000, "wilson_low": low, "wilson_high": high, "parameters": 1_234_567}
            | {"latency_p50_ms": 2.0, "training_seconds": np.nan, "training_device": "2 CPU cores"}
        )
        guess = np.where(np.arange(10_000) < wrong, (labels + 1) % 10, labels).astype(np.uint8)
        predictions |= {f"{network}_guess": guess, f"{network}_confidence": np.full(10_000, 0.9, np.float16)}
    return Result(pd.DataFrame(rows), header("leaderboard", **changes), predictions)


def hunger():
    rows = [(name, size, seed, "demo", 9, 0.9) for name in MODELS for size in (100, 1_000) for seed in range(3)]
    columns = ["network", "size", "seed", "preset", "epochs", "accuracy"]
    return Result(pd.DataFrame(rows, columns=columns), header("data_hunger", quick=True), {})


def test_other_weights_than_those_measured_are_said():
    old = leaderboard(("cnn", "cnn"), ("vit", "vit"), weights={"cnn": "0123456789abcdef"})
    assert "Measured with other weights than they have now: CNN." in report.to_html({"leaderboard": {"shipped": old}})


@pytest.fixture(scope="module")
def found():
    own = leaderboard(("cnn", "cnn"), (EVIL, "vit"), device_name=EVIL, versions={"torch": EVIL})
    return {
        "leaderboard": {"shipped": leaderboard(*((name, name) for name in MODELS)), "local": own},
        "data_hunger": {"shipped": hunger()},
    }


@pytest.fixture(scope="module")
def html(found):
    entries = [Entry(7, {"cnn": 7, "vit": 1}, []), Entry(2, {"cnn": 2, "vit": 2}, [])]
    now = datetime(2026, 11, 24)
    return report.to_html(found, {EVIL: f"{EVIL} II"}, {"data_hunger": 2}, entries, now)


@pytest.fixture(scope="module")
def text(html):
    """What a person reads: no scripts, no tags."""
    body = html[html.index("<body>") :]
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", " ", body, flags=re.DOTALL))
    return re.sub(r"\s+", " ", unescape(words))


def test_studies_come_with_question_expectation_findings_and_origin(found, text):
    study = STUDIES["data_hunger"]
    result = found["data_hunger"]["shipped"]
    for told in (
        study.title,
        study.question,
        study.method,
        f"We expected: {study.answers[2]}",
        "(quick)",
        "24 November 2026",
    ):
        assert told in text
    for sentence in study.findings(result.table).sentences:
        assert sentence in text
    for told in ("2026-11-23", "2 CPU cores", "0, 1", "torch 2.15.0", "001f603ab0cd", "0123456789abcdef"):
        assert told in text
    assert "python -m atelier study data_hunger" in text
    assert STUDIES["cost"].title not in text  # which has no results


def test_networks_numbers_and_the_tally_are_in_tables(text):
    assert "network CNN Faster R-CNN VGG16 AlexNet ViT" in text  # a wide table lies on its side
    assert "accuracy 0.99 0.9899 0.9898 0.9897 0.9896" in text
    assert "parameters 1,234,567" in text
    assert "CNN Faster R-CNN 1 0 10,000 1 could be" in text  # one digit more: McNemar's p is 1
    assert "network CNN ViT right 2 1 counted 2 2 accuracy 1 0.5" in text  # right of the class's own digits
    assert "All 30 rows" in text


def test_the_digits_that_networks_disagree_about_are_in_a_table(text):
    # of five networks the first misreads the digits 0 to 99, the second 100, too, and so on
    assert "read right by digits 0 100 1 1 2 1 3 1 4 1 5 9,896" in text
    assert "All 104 rows" in text
    assert "test digit true digit CNN CNN is sure Faster R-CNN Faster R-CNN is sure" in text


def test_whether_networks_can_be_believed_is_drawn(html):
    for label in ("How often each network is right against how sure it is", "ViT: which digits it takes for which"):
        assert f'<figure role="img" aria-label="{label}">' in html
    assert html.count("How right, when so sure?") == 2  # the shipped ones and our own


def test_runs_go_by_the_names_that_people_gave_them(found):
    result = leaderboard(("cnn", "cnn"), ("20261123-101010-vit-abcd", "vit"))
    result.table.loc[1, "accuracy"] = 0.999
    html = report.to_html({"leaderboard": {"local": result}}, {"20261123-101010-vit-abcd": "Lisa <3"})
    assert "The “Lisa &lt;3” misreads the fewest test digits" in html
    told = json.loads(re.search(r'"ticktext":(\[.*?\])', html).group(1))
    assert told == ["CNN", "Lisa &lt;3"]
    assert "ViT of run" not in re.sub(r'"(?:y|tickvals)":\[.*?\]', "", html)


def test_accuracy_is_drawn_against_costs_that_are_known(html):
    for cost in ("Are quick answers worse?", "Is a larger network better?"):
        assert html.count(f'<figure role="img" aria-label="{cost}">') == 2  # the shipped ones and our own
    assert "Does long training pay?" not in html


def test_every_table_is_there_as_csv(found, html):
    files = dict(re.findall(r'<a download="([^"]*)" href="data:text/csv;base64,([^"]*)"', html))
    parts = ("", "-confusions", "-agreement", "-misread", "-pairs", "-reliability")
    assert set(files) == {
        *(f"leaderboard-{source}{part}.csv" for source in ("shipped", "local") for part in parts),
        *("data_hunger-shipped.csv", "tally.csv", "drawings.csv", "circumstances.csv"),
    }
    content = base64.b64decode(files["data_hunger-shipped.csv"]).decode()
    assert content == found["data_hunger"]["shipped"].table.to_csv(index=False)


def test_nothing_comes_from_elsewhere(html):
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//[^"'\s>]*""", without_plotly(html))
    assert "url(" not in without_plotly(html)
    assert "@import" not in without_plotly(html)
    assert html.count(report.get_plotlyjs()) == 1
    assert len(html) < 7e6


def test_what_people_write_stays_text(html):
    assert "alert(" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#x27;Ada &amp; Co&#x27;)&lt;/script&gt; II" in html


def test_without_results_it_says_so():
    assert "No study has been measured yet." in report.to_html({})


def without_plotly(html):
    return html.replace(report.get_plotlyjs(), "")
