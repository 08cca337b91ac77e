"""A folder of results gives a valid table, or one sentence that explains why not."""

import json
import time
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from atelier import paths
from atelier.runs.folder import Run
from atelier.studies import STUDIES, results
from atelier.studies.results import ResultError
from tests.support.made_results import leaderboard, provenance, study_run, write, write_leaderboard

SHIPPED = {name: results.shipped(name) for name in STUDIES}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of all shipped results, in their place."""
    for name, result in SHIPPED.items():
        write(tmp_path, name, result.table)
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_results_have_the_columns_of_their_study(name):
    assert list(SHIPPED[name].table) == list(STUDIES[name].columns)
    assert SHIPPED[name].provenance.study == name
    if name == "transfer":
        assert set(SHIPPED[name].table.backbone) == {"glyphs", "imagenet", "none"}  # "none" is not a missing value


def test_table_may_be_longer_than_its_provenance(folder):
    write(folder, "cost", SHIPPED["cost"].table, rows=2)
    assert len(results.shipped("cost").table) == 5


CSV = SHIPPED["cost"].table.to_csv(index=False)
HEADER = json.dumps(asdict(provenance("cost", rows=5)))
DAMAGES = {  # file of the study "cost", content, and a part of the message
    "cut within a line": ("csv", CSV[:-12], "damaged"),
    "cut after a line": ("csv", CSV[: CSV[:-1].rindex("\n") + 1], "rows are missing"),
    "text instead of numbers": ("csv", CSV.replace("0.99", "high"), "impossible value"),
    "not text": ("csv", b"\xff\xfe\x00", "damaged"),
    "other columns": ("csv", CSV.replace("latency_p50_ms", "latency"), "latency_p50_ms"),
    "no rows": ("csv", CSV.splitlines()[0] + "\n", "cannot be used"),
    "no content": ("csv", "", "damaged"),
    "missing": ("csv", None, "python -m atelier study cost"),
    "cut header": ("json", HEADER[:40], "damaged"),
    "empty header": ("json", "", "damaged"),
    "header of another kind": ("json", "[]", "damaged"),
    "header of another study": ("json", HEADER.replace('"cost"', '"transfer"'), "another study"),
    "header without fields": ("json", "{}", "damaged"),
    "weights of another type": ("json", HEADER.replace('"weights": {}', '"weights": null'), "damaged"),
    "seeds of another type": ("json", HEADER.replace('"seeds": [0, 1]', '"seeds": 1'), "damaged"),
    "missing header": ("json", None, "python -m atelier study cost"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(folder, damage):
    suffix, content, message = DAMAGES[damage]
    file = folder / f"cost.{suffix}"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ResultError, match=message):
        results.shipped("cost")


IMPOSSIBLE = {  # study, column, value
    "missing accuracy": ("one_or_many", "reading_accuracy", np.nan),
    "accuracy above 1": ("one_or_many", "reading_accuracy", 1.5),
    "accuracy below 0": ("data_hunger", "accuracy", -0.1),
    "no scenes": ("one_or_many", "scenes", 0),
    "unknown backbone": ("transfer", "backbone", "oranges"),
    "unknown freedom": ("transfer", "freedom", ""),
    "unknown recipe": ("data_hunger", "preset", "best"),
    "no time": ("cost", "latency_p50_ms", 0.0),
    "infinite time": ("leaderboard", "latency_p50_ms", np.inf),
    "unknown network": ("robustness", "network", "resnet"),
    "unknown network of a run": ("leaderboard", "model", "resnet"),
}


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_impossible_values_are_refused(folder, value):
    name, column, content = IMPOSSIBLE[value]
    table = SHIPPED[name].table.copy()
    table.loc[0, column] = content
    write(folder, name, table)
    with pytest.raises(ResultError, match="cannot be used"):
        results.shipped(name)


@pytest.mark.parametrize("name", STUDIES)
def test_points_measured_twice_are_refused(folder, name):
    table = SHIPPED[name].table
    write(folder, name, pd.concat([table, table.tail(1)]))
    with pytest.raises(ResultError, match="twice"):
        results.shipped(name)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("rows", [[0], [0, 1], [-1], [0, -1]])
def test_any_part_of_valid_results_has_findings_and_a_figure(name, rows):
    part = SHIPPED[name].table.iloc[rows]
    findings = STUDIES[name].findings(part)
    assert findings.answer is None or findings.answer in STUDIES[name].answers
    assert all(sentence.endswith(".") for sentence in findings.sentences)
    json.loads(STUDIES[name].figure(part).to_json())


def test_unknown_study_is_refused():
    with pytest.raises(ResultError, match="no study 'weather'"):
        results.shipped("weather")


def test_predictions_are_read_and_damaged_ones_left_out(folder):
    write_leaderboard(folder)
    assert results.shipped("leaderboard").predictions.keys() == leaderboard().predictions.keys()
    (folder / "leaderboard.npz").write_bytes((folder / "leaderboard.npz").read_bytes()[:-40])
    assert results.shipped("leaderboard").predictions == {}


# Results of this computer --------------------------------------------------------------------------------------------


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Runs lie in a folder of their own; each is one second newer than the last."""
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    seconds = iter(range(100))
    monkeypatch.setattr(time, "strftime", lambda form: f"20260101-1200{next(seconds):02}")


@pytest.mark.parametrize(
    ("finished", "damaged", "expected"),  # from the oldest to the newest; which is read
    [
        ((True, True), (), 1),
        ((True, False), (), 0),
        ((False, False), (), 1),
        ((True, True), (1,), 0),
    ],
)
def test_newest_complete_local_result_is_read(runs, finished, damaged, expected):
    for number, done in enumerate(finished):
        folder = study_run("cost").folder
        write(folder, "cost", SHIPPED["cost"].table, finished=done, seconds=float(number))
        if number in damaged:
            (folder / "cost.csv").write_text(CSV[:-3])
    assert results.local("cost").provenance.seconds == expected


def test_damaged_local_results_are_refused(runs):
    write(study_run("cost").folder, "cost", SHIPPED["cost"].table)
    (results.local_runs("cost", paths.RUNS)[0].path("cost.csv")).write_text(CSV[:-3])
    with pytest.raises(ResultError, match="damaged"):
        results.local("cost")


def test_local_leaderboards_are_merged_into_the_newest_row_of_each_network(runs):
    def measure(device="A", **wrong):
        weights = dict.fromkeys(wrong, str(len(wrong)))
        write_leaderboard(
            study_run("leaderboard").folder, wrong, model="cnn", device_name=device, weights=weights, commit=device
        )

    run = "20260101-120000-cnn-abcd"
    measure(gone=50, **{run: 60})  # runs: the first has been deleted since
    Run(paths.RUNS / run).folder.mkdir()
    measure(cnn=70, vit=80)
    measure(device="B", alexnet=90)
    measure(cnn=10)
    merged = results.local("leaderboard")
    assert dict(zip(merged.table.network, merged.table.accuracy.round(3), strict=True)) == {
        "cnn": 0.999,
        "vit": 0.992,
        run: 0.994,
    }
    assert merged.predictions.keys() >= {"cnn_guess", "vit_guess", f"{run}_guess"}
    assert (merged.predictions["cnn_guess"] == leaderboard({"cnn": 10}).predictions["cnn_guess"]).all()
    assert merged.provenance.weights == {"cnn": "1", "vit": "2", run: "2"}
    assert merged.provenance.command.endswith(f"--networks cnn vit {run}")
    assert (merged.provenance.points, merged.provenance.of, merged.provenance.rows) == (3, 3, 3)
    assert merged.provenance.commit == "A"
    measure(device="B", vit=5)  # the newest result decides on the device
    assert set(results.local("leaderboard").table.network) == {"vit", "alexnet"}
