"""The Compare page on results that nobody measured: no test here measures or trains anything."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plotly.graph_objects import Figure

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation import failures
from atelier.studies import STUDIES, conduct, results
from atelier.studies.study import Findings, Study
from pages.ui import measured
from pages.views.compare import board
from tests.support.made_results import conducted, leaderboard, look, own_run, write, written

ROOT = Path(__file__).parent.parent.parent


def findings(table: pd.DataFrame) -> Findings:
    best = table.loc[table.accuracy.idxmax()]
    return Findings(int(best.network == "vit"), (f"{best.network} is best.", f"It reads {best.accuracy:.0%} right."))


STUDY = Study(
    name="hunger",
    title="Hunger",
    question="Who needs more digits?",
    answers=("The CNN does worse", "The ViT does better"),
    method="Both learn from 100 digits.",
    columns=("network", "size", "accuracy"),
    points=lambda quick: [{"network": name, "size": size} for name in MODELS for size in (100, 200)[: 2 - quick]],
    measure=lambda point, device: iter(()),
    findings=findings,
    figure=lambda table: Figure(),
)


def hunger(**accuracy: float) -> pd.DataFrame:
    return pd.DataFrame([{"network": name, "size": 100, "accuracy": value} for name, value in accuracy.items()])


@pytest.fixture(autouse=True)
def launched(monkeypatch, tmp_path):
    """Results and runs lie in folders of their own. No process is started; what would be is listed."""
    launched = []
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(conduct, "_launch", launched.append)
    monkeypatch.setattr(conduct, "circumstances_on", lambda device: {"device": "cpu", "versions": {}})
    for name in [name for name in STUDIES if name != "leaderboard"]:
        monkeypatch.delitem(STUDIES, name)
    monkeypatch.setitem(STUDIES, "hunger", STUDY)
    return launched


@pytest.fixture
def page(app):
    app.switch_page("pages/compare.py")
    return app


# The page as a whole -------------------------------------------------------------------------------------------------


def test_the_page_opens_without_pytorch():
    views = "pages.views.compare.board, pages.views.compare.failed_digits, pages.views.compare.study_view"
    code = f"import sys, {views}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("content", [None, "", "network,accuracy\ncnn,0.9"], ids=["missing", "empty", "half-written"])
@pytest.mark.parametrize("view", ["Leaderboard", "Where they fail", "Studies"])
def test_results_that_cannot_be_read_get_a_sentence(page, tmp_path, view, content):
    if content is not None:
        leaderboard(tmp_path / "shipped")
        write(tmp_path / "shipped", "hunger", hunger(cnn=0.9, vit=0.8))
        for study in ("leaderboard", "hunger"):
            (tmp_path / "shipped" / f"{study}.csv").write_text(content)
            (tmp_path / "shipped" / f"{study}.npz").unlink(missing_ok=True)
    look(page, view)
    assert len(page.warning) == 1


def test_damaged_data_is_said(page, tmp_path, monkeypatch):
    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged: restore it from the repository.")

    leaderboard(tmp_path / "shipped")
    monkeypatch.setattr(mnist, "load", damaged)
    assert "restore it from the repository" in written(look(page, "Where they fail").warning)


# Leaderboard ---------------------------------------------------------------------------------------------------------


def test_the_leaderboard_has_all_five_with_where_they_were_measured(page, tmp_path):
    leaderboard(tmp_path / "shipped", quick=True)
    page.run()
    assert not page.exception
    (table,) = [frame.value for frame in page.dataframe]
    assert list(table.title) == [spec.title for spec in MODELS.values()]
    assert table.interval[0] == "99.49% – 99.73%"  # Wilson's for 37 mistakes in 10,000
    told = written(page.caption)
    for part in ("2026-11-23", " · 2 CPU cores · ", "seeds 0, 1", "PyTorch 2.15.0", "commit 001f603ab0cd", "2 min 5 s"):
        assert part in told
    assert "quick" in written(page.markdown)


def test_runs_that_were_measured_here_stand_beside_the_shipped_networks(page, tmp_path):
    run = own_run("Lisa’s CNN")
    leaderboard(tmp_path / "shipped")
    leaderboard(conducted("leaderboard").folder, {run.id: 20}, kind="run", model="cnn")
    page.run()
    assert not page.exception
    (table,) = [frame.value for frame in page.dataframe]
    assert table.title.iloc[-1] == "Lisa’s CNN"
    assert set(table["where"].iloc[:-1]) == {"Shipped"}
    assert table["where"].iloc[-1] != "Shipped"
    page.selectbox(key="compare_second").set_value(run.id).run()
    assert "Lisa’s CNN alone" in written(page.markdown)


def test_a_run_that_was_measured_before_another_keeps_its_row(page, tmp_path):
    leaderboard(tmp_path / "shipped")
    for run, mistakes in ((own_run("First"), 20), (own_run("Second"), 30)):
        leaderboard(conducted("leaderboard").folder, {run.id: mistakes}, kind="run", model="cnn")
    page.run()
    assert not page.exception
    assert {"First", "Second"} < set(page.dataframe[0].value.title)
    assert {"First", "Second"} < set(page.selectbox(key="compare_second").options)


def test_a_deleted_run_keeps_its_row(page, tmp_path):
    leaderboard(tmp_path / "shipped")
    leaderboard(conducted("leaderboard").folder, {"20261123-101010-cnn-abcd": 20}, kind="run", model="cnn")
    page.run()
    assert not page.exception
    assert "20261123-101010-cnn-abcd" in set(page.dataframe[0].value.title)


def test_the_best_of_each_column_is_marked_and_speed_only_on_the_same_device():
    rows = pd.DataFrame(
        {
            "accuracy": [0.99, 0.98, 0.995],
            "parameters": [5, 3, 4],
            "latency_p50_ms": [2.0, 1.0, 0.5],
            "training_seconds": [5.0, 70.0, 80.0],
            "where": ["Shipped", "Shipped", "here"],
            "training_device": ["NVIDIA H100", "2 CPU cores", "2 CPU cores"],
        }
    )
    numbers = rows.select_dtypes("number")
    marked = {column: [bool(css) for css in board.marks(rows, column)] for column in numbers}
    assert marked == {
        "accuracy": [False, False, True],
        "parameters": [False, True, False],
        "latency_p50_ms": [False, True, False],  # the third was measured alone
        "training_seconds": [False, True, False],  # the first was trained alone
    }


def test_networks_that_hardly_differ_may_differ_by_chance(page, tmp_path):
    leaderboard(tmp_path / "shipped")
    said = failures.said(results.shipped("leaderboard").predictions, mnist.load("test")[1], MODELS)
    alone = [np.sum(said.right[one] & ~said.right[other]) for one, other in (("cnn", "vit"), ("vit", "cnn"))]
    page.run()
    page.selectbox(key="compare_first").set_value("cnn").run()
    page.selectbox(key="compare_second").set_value("vit").run()
    told = written(page.markdown)
    assert f"CNN alone reads {alone[0]} digits right, ViT alone {alone[1]}." in told
    assert "differ by 10 of 10,000 digits" in told  # 37 and 47 mistakes
    page.selectbox(key="compare_second").set_value("cnn").run()
    assert "two different networks" in written(page.info)


def test_chosen_runs_are_measured_in_the_background(page, tmp_path, launched):
    leaderboard(tmp_path / "shipped")
    run = own_run()
    page.run()
    assert page.multiselect(key="compare_networks").value == list(MODELS)
    page.multiselect(key="compare_networks").set_value([run.id, "cnn"]).run()
    page.button(key="compare_run_leaderboard").click().run()
    assert not page.exception
    (study,) = launched
    assert study.read("config.json")["points"] == [{"network": "cnn"}, {"network": run.id}]  # whole, not quick
    assert page.button(key="compare_run_leaderboard").disabled  # it is queued


def test_no_network_may_be_chosen_and_then_nothing_can_be_measured(page, tmp_path):
    leaderboard(tmp_path / "shipped")
    page.run()
    page.multiselect(key="compare_networks").set_value([]).run()
    assert not page.exception
    assert page.multiselect(key="compare_networks").value == []
    assert page.button(key="compare_run_leaderboard").disabled


# Studies -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def studies(page, tmp_path):
    write(tmp_path / "shipped", "hunger", hunger(cnn=0.9, vit=0.8), quick=True)
    return look(page, "Studies")


def expect(studies, answer: int):
    studies.button_group(key="compare_expects_hunger").set_value(answer).run()
    assert not studies.exception
    return studies


def test_a_prediction_comes_before_the_numbers(studies):
    assert STUDY.question in written(studies.subheader)
    assert STUDY.method in written(studies.markdown)
    assert not studies.dataframe
    assert "is best" not in written(studies.markdown)
    expect(studies, 0)
    assert "cnn is best. It reads 90% right." in written(studies.markdown)
    assert "As you expected" in written(studies.success)
    assert list(studies.dataframe[0].value.accuracy) == [0.9, 0.8]
    assert "python -m atelier study hunger" in {code.value for code in studies.code}
    assert "quick" in written(studies.markdown)


def test_other_numbers_say_something_else(studies, tmp_path):
    write(tmp_path / "shipped", "hunger", hunger(cnn=0.8, vit=0.9))
    expect(studies, 0)
    assert "vit is best." in written(studies.markdown)
    assert "The numbers say: **The ViT does better**" in written(studies.info)


def test_a_link_opens_a_study(page, monkeypatch):
    monkeypatch.setitem(STUDIES, "thirst", replace(STUDY, name="thirst", title="Thirst"))
    page.query_params["view"], page.query_params["study"] = "Studies", "Thirst"
    page.run()
    assert not page.exception
    assert "“Thirst”" in written(page.warning)


def test_a_study_runs_here_in_the_background_with_progress_and_shows_beside_the_shipped_one(studies, launched):
    expect(studies, 0)
    studies.button(key="compare_run_hunger").click().run()
    assert not studies.exception
    (run,) = launched
    assert run.read("config.json")["quick"]
    assert run.read("config.json")["points"] == STUDY.points(True)
    assert studies.button(key="compare_run_hunger").disabled

    write(run.folder, "hunger", hunger(cnn=0.7, vit=0.75))
    run.set_status("done")
    studies.run()
    assert not studies.exception
    assert not studies.button(key="compare_run_hunger").disabled
    told = written(studies.markdown)
    assert "cnn is best. It reads 90% right." in told
    assert "vit is best. It reads 75% right." in told
    assert "The CNN does worse" in written(studies.success)  # the verdict is that of the shipped numbers


def test_an_interrupted_study_can_be_resumed(studies, launched):
    conducted("hunger", "paused", points=STUDY.points(True))
    expect(studies, 0)
    (resume,) = [button for button in studies.button if button.label == "Resume"]
    resume.click().run()
    assert not studies.exception
    assert len(launched) == 1


def test_the_page_is_shown_anew_when_a_study_ends_not_at_each_point(monkeypatch):
    class AgainError(Exception):
        pass

    def rerun():
        raise AgainError

    run = conducted("hunger", "running")
    monkeypatch.setattr(measured.st, "rerun", rerun)
    stands = iter([(1, 60, "queued", ""), (2, 60, "running", ""), (3, 60, "running", ""), (60, 60, "done", ""), None])
    monkeypatch.setattr(measured, "_stands", lambda run: next(stands))
    for _ in range(3):
        measured._progress(run, was_active=True)
    for _ in range(2):  # it ends; its folder is deleted
        with pytest.raises(AgainError):
            measured._progress(run, was_active=True)


def test_a_study_whose_folder_cannot_be_read_does_not_stop_the_page(studies, monkeypatch):
    conducted("hunger", "paused", points=STUDY.points(True))
    monkeypatch.setattr(measured, "_stands", lambda run: None)
    expect(studies, 0)
    assert not studies.button(key="compare_run_hunger").disabled


def test_what_cannot_be_started_is_said(studies, monkeypatch):
    def refuse(*_):
        raise ValueError("This machine has no such device.")

    expect(studies, 0)
    monkeypatch.setattr(conduct, "start", refuse)
    studies.button(key="compare_run_hunger").click().run()
    assert not studies.exception
    assert "no such device" in written(studies.toast)
