"""The Compare page with made-up results: no test here measures or trains anything."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from plotly.graph_objects import Figure

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.studies import STUDIES, conduct, results
from atelier.studies.study import ACCURACY, NETWORK, Column, Findings, Study
from pages.ui import study_results
from pages.views.compare import board
from tests.support.made_results import own_run, study_run, write, write_leaderboard

ROOT = Path(__file__).parents[2]
STUDY = Study(
    name="hunger",
    title="Hunger",
    question="Which network is better?",
    choices={"cnn": "The CNN", "vit": "The ViT"},
    method="Both learn from 100 digits.",
    columns={"network": NETWORK, "size": Column("Size"), "accuracy": ACCURACY},
    points=lambda quick: [{"network": name, "size": size} for name in MODELS for size in (100, 200)[: 2 - quick]],
    measure=lambda point, device: iter(()),
    findings=lambda table: Findings(table.network[table.accuracy.idxmax()], ("The result.",)),
    figure=lambda table: Figure(),
)


def hunger(**accuracy: float) -> pd.DataFrame:
    return pd.DataFrame([{"network": name, "size": 100, "accuracy": value} for name, value in accuracy.items()])


@pytest.fixture(autouse=True)
def launched(monkeypatch, tmp_path):
    """Results and runs lie in folders of their own. No process starts; this list has the runs that would."""
    launched = []
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(conduct, "_launch", launched.append)
    monkeypatch.setattr(conduct, "environment_of", lambda device: {"device": "cpu", "versions": {}})
    for name in [name for name in STUDIES if name != "leaderboard"]:
        del STUDIES[name]
    STUDIES["hunger"] = STUDY
    return launched


@pytest.fixture
def compare(app):
    """`compare(**query)`: the page, opened by a link with these parameters."""

    def open_page(**query: str):
        app.switch_page("pages/compare.py")
        app.query_params.update(query)
        app.run()
        assert not app.exception
        return app

    return open_page


# The page as a whole -------------------------------------------------------------------------------------------------


def test_views_do_not_import_pytorch():
    views = "pages.views.compare.board, pages.views.compare.failed_digits, pages.views.compare.study_view"
    code = f"import sys, {views}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("content", [None, "network,accuracy\ncnn,0.9"], ids=["missing", "cut off"])
@pytest.mark.parametrize("view", ["leaderboard", "failures", "studies"])
def test_unusable_results_give_one_warning(compare, tmp_path, view, content):
    if content is not None:
        write_leaderboard(tmp_path / "shipped")
        write(tmp_path / "shipped", "hunger", hunger(cnn=0.9, vit=0.8))
        for study in ("leaderboard", "hunger"):
            (tmp_path / "shipped" / f"{study}.csv").write_text(content)
    assert len(compare(view=view).warning) == 1


def test_damaged_data_gives_a_warning(compare, tmp_path, monkeypatch):
    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged.")

    write_leaderboard(tmp_path / "shipped")
    monkeypatch.setattr(mnist, "load", damaged)
    assert "t10k is damaged." in [warning.value for warning in compare(view="failures").warning]


def test_view_and_study_are_keys_in_the_link(compare, monkeypatch):
    monkeypatch.setitem(STUDIES, "thirst", replace(STUDY, name="thirst", title="Thirst"))
    page = compare(view="studies", study="thirst")
    assert page.segmented_control(key="study").value == "thirst"
    page.segmented_control(key="view").set_value("failures").run()
    assert not page.exception
    assert page.query_params["view"] in ("failures", ["failures"])


# Leaderboard ---------------------------------------------------------------------------------------------------------


def test_leaderboard_shows_all_networks_with_their_origin(compare, tmp_path):
    write_leaderboard(tmp_path / "shipped")
    page = compare()
    (table,) = [frame.value for frame in page.dataframe]
    assert list(table.title) == [spec.title for spec in MODELS.values()]
    assert table.interval[0] == "99.49% – 99.73%"  # Wilson's for 37 mistakes in 10,000
    origin = page.caption[0].value.split(" · ")
    assert {"2026-11-23", "2 CPU cores", "PyTorch 2.15.0", "commit 001f603ab0cd", "2 min 5 s"} <= set(origin)


def test_runs_of_this_computer_stand_beside_the_shipped_networks(compare, tmp_path):
    first, second, deleted = own_run("First"), own_run("Lisa’s CNN"), "20261123-101010-cnn-abcd"
    write_leaderboard(tmp_path / "shipped")
    for wrong in ({first.id: 20, deleted: 40}, {second.id: 30, deleted: 40}):
        write_leaderboard(study_run("leaderboard").folder, wrong, kind="run", model="cnn")
    page = compare()
    table = page.dataframe[0].value.set_index("title")["where"]
    assert set(table.index) == {spec.title for spec in MODELS.values()} | {"First", "Lisa’s CNN", deleted}
    assert set(table[[first.name, second.name, deleted]]) == {study_results.SOURCES["local"]}
    page.selectbox(key="compare_second").set_value(second.id).run()
    assert not page.exception


def test_best_values_are_marked_among_comparable_rows():
    rows = pd.DataFrame(
        {
            "accuracy": [0.99, 0.98, 0.995],
            "parameters": [5, 3, 4],
            "latency_p50_ms": [2.0, 1.0, 0.5],
            "training_seconds": [5.0, 70.0, 80.0],
            "where": ["shipped", "shipped", "local"],
            "training_device": ["NVIDIA H100", "2 CPU cores", "2 CPU cores"],
        }
    )
    marked = {column: [bool(css) for css in board.marks(rows, column)] for column in rows.select_dtypes("number")}
    assert marked == {
        "accuracy": [False, False, True],
        "parameters": [False, True, False],
        "latency_p50_ms": [False, True, False],  # the third was measured alone
        "training_seconds": [False, True, False],  # the first was trained alone
    }


def test_two_networks_are_tested_for_chance(compare, keys, text, tmp_path):
    write_leaderboard(tmp_path / "shipped")
    page = compare()
    page.selectbox(key="compare_first").set_value("vit").run()
    page.selectbox(key="compare_second").set_value("cnn").run()
    numbers = [int(word) for word in text(page, "compare_chance").split() if word.isdigit()]
    assert numbers[:2] == [0, 10]  # 47 and 37 mistakes, of which the first 37 digits are the same
    page.selectbox(key="compare_second").set_value("vit").run()
    assert "compare_chance" not in keys(page)


def test_chosen_runs_are_measured_in_the_background(compare, tmp_path, launched):
    write_leaderboard(tmp_path / "shipped")
    run = own_run()
    page = compare()
    assert page.multiselect(key="compare_networks").value == list(MODELS)
    page.multiselect(key="compare_networks").set_value([run.id, "cnn"]).run()
    page.button(key="compare_run_leaderboard").click().run()
    assert not page.exception
    (study,) = launched
    assert study.read("config.json")["points"] == [{"network": "cnn"}, {"network": run.id}]  # whole, not quick
    assert page.button(key="compare_run_leaderboard").disabled  # it is queued


def test_nothing_is_measured_without_a_chosen_network(compare):
    page = compare()
    page.multiselect(key="compare_networks").set_value([]).run()
    assert not page.exception
    assert page.button(key="compare_run_leaderboard").disabled


# Studies -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def studies(compare, tmp_path):
    write(tmp_path / "shipped", "hunger", hunger(cnn=0.9, vit=0.8), quick=True)
    return compare(view="studies")


def expect(studies, answer: str):
    studies.button_group(key="compare_expects_hunger").set_value(answer).run()
    assert not studies.exception
    return studies


def test_expectation_comes_before_the_results(studies, keys):
    assert not studies.dataframe
    expect(studies, "cnn")
    assert "compare_as_expected" in keys(studies)
    assert list(studies.dataframe[0].value.accuracy) == [90, 80]  # percent
    assert "python -m atelier study hunger" in [code.value for code in studies.code]


def test_other_numbers_give_another_outcome(studies, keys, tmp_path):
    write(tmp_path / "shipped", "hunger", hunger(cnn=0.8, vit=0.9))
    assert "compare_otherwise" in keys(expect(studies, "cnn"))


def test_study_runs_in_the_background_and_its_results_stand_beside_the_shipped_ones(studies, keys, launched):
    expect(studies, "cnn")
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
    assert keys(studies) >= {
        "compare_shipped",
        "compare_local",
        "compare_as_expected",
    }  # compared with the shipped ones


def test_interrupted_study_can_be_resumed(studies, launched):
    study_run("hunger", "paused", points=STUDY.points(True))
    expect(studies, "cnn")
    studies.button(key="compare_resume_study").click().run()
    assert not studies.exception
    assert len(launched) == 1


def test_page_reruns_when_a_study_ends_but_not_after_each_point(monkeypatch):
    class RerunError(Exception):
        pass

    def rerun():
        raise RerunError

    run = study_run("hunger", "running")
    monkeypatch.setattr(study_results.st, "rerun", rerun)
    steps = iter([(1, 60, "queued", ""), (2, 60, "running", ""), (3, 60, "running", ""), (60, 60, "done", ""), None])
    monkeypatch.setattr(study_results, "_progress", lambda run: next(steps))
    for _ in range(3):
        study_results.show_progress(run, was_active=True)
    for _ in range(2):  # it ends; its folder is deleted
        with pytest.raises(RerunError):
            study_results.show_progress(run, was_active=True)


def test_unreadable_folder_of_a_study_does_not_stop_the_page(studies, monkeypatch):
    study_run("hunger", "paused", points=STUDY.points(True))
    monkeypatch.setattr(study_results, "_progress", lambda run: None)
    assert not expect(studies, "cnn").button(key="compare_run_hunger").disabled


def test_failed_start_gives_a_message(studies, monkeypatch):
    def refuse(*_):
        raise ValueError("no such device")

    expect(studies, "cnn")
    monkeypatch.setattr(conduct, "start", refuse)
    studies.button(key="compare_run_hunger").click().run()
    assert not studies.exception
    assert [toast.value for toast in studies.toast] == ["no such device"]
