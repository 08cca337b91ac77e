"""The view of Compare that shows where networks fail, on results that nobody measured."""

import math

import numpy as np
import pytest
from plotly.graph_objects import Figure

from atelier import MODELS, paths
from atelier.data import mnist
from atelier.evaluation import failures
from atelier.figures import comparison
from atelier.studies import results
from pages.views.compare import failed_digits
from tests.support.made_results import conducted, leaderboard, look, own_run, written


@pytest.fixture
def page(app, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return app.switch_page("pages/compare.py")


@pytest.fixture
def fail(page, tmp_path):
    leaderboard(tmp_path / "shipped")
    return look(page, "Where they fail")


@pytest.fixture
def said(fail):
    return failures.said(results.shipped("leaderboard").predictions, mnist.load("test")[1], MODELS)


def test_a_cell_of_a_confusion_matrix_shows_its_digits(fail, said):
    true, guess = next((t, g) for t, g in np.argwhere(failures.confusion(said, "vit") > 0).tolist() if t != g)
    fail.session_state["compare_cell"] = "vit", true, guess
    fail.run()
    count = len(failures.taken_for(said, "vit", true, guess))
    assert f"**{count}** digit" in fail.markdown[1].value


def test_the_counts_of_all_cells_can_be_downloaded(fail):
    (button,) = [button for button in fail.download_button if button.label == "All counts (CSV)"]
    assert not button.disabled


def test_a_click_names_the_cell_by_true_digit_and_guess(monkeypatch):
    monkeypatch.setattr(failed_digits, "state", kept := type("State", (), {})())
    failed_digits.cell_clicked("vit", {"x": 9, "y": 4, "curve": 0})
    assert kept.compare_cell == ("vit", 4, 9)


def test_the_digits_that_all_miss_are_there_and_those_that_some_miss(fail, said):
    counts = failures.how_many_right(said)
    assert f"**{counts[0]}** digit" in written(fail.markdown)
    fail.segmented_control(key="compare_right").set_value(3).run()
    assert not fail.exception
    assert f"**{counts[3]}** digit" in written(fail.markdown)
    fail.segmented_control(key="compare_right").set_value(5).run()
    assert not fail.exception
    assert f"**{counts[5]:,}** digits, 1 to 24 of them shown" in written(fail.markdown)


def test_all_digits_of_a_choice_can_be_seen_page_by_page(fail, said, monkeypatch):
    sheets = []
    monkeypatch.setattr(comparison, "digits", lambda *given: sheets.append(given) or Figure())
    monkeypatch.setattr(failed_digits, "live_picture", lambda *_: None)

    def shown() -> list[int]:
        return next(numbers.tolist() for *_, numbers, what in sheets[::-1] if what == "Read right by exactly 4 of 5")

    fail.segmented_control(key="compare_right").set_value(4).run()
    digits = failures.read_right_by(said, 4)
    assert len(digits) > 48
    control = {"key": "compare_right_digits_page_Read right by exactly 4 of 5"}
    seen = shown()
    for page in range(2, math.ceil(len(digits) / 24) + 1):
        fail.pagination(**control).set_value(page).run()
        assert not fail.exception
        assert f"digits, {24 * page - 23} to {min(24 * page, len(digits))} of them shown" in written(fail.markdown)
        seen += shown()
    assert seen == digits.tolist()
    fail.segmented_control(key="compare_right").set_value(5).run()
    assert "digits, 1 to 24 of them shown" in written(fail.markdown)  # others begin anew


def test_one_right_another_wrong(fail, said):
    fail.selectbox(key="compare_right_one").set_value("vgg16").run()
    fail.selectbox(key="compare_wrong_one").set_value("cnn").run()
    assert not fail.exception
    assert f"**{np.sum(said.right.vgg16 & ~said.right.cnn)}** digit" in written(fail.markdown)
    fail.selectbox(key="compare_wrong_one").set_value("vgg16").run()
    assert "there are none" in written(fail.info)


def test_runs_of_ones_own_join_when_they_are_chosen(page, tmp_path):
    run = own_run("Lisa’s CNN")
    leaderboard(tmp_path / "shipped")
    leaderboard(conducted("leaderboard").folder, {run.id: 20}, kind="run", model="cnn")
    look(page, "Where they fail")
    assert run.id not in page.selectbox(key="compare_wrong_one").options
    assert len(page.selectbox(key="compare_wrong_one").options) == 5
    page.pills(key="compare_failing").set_value(["cnn", run.id]).run()
    assert not page.exception
    assert page.selectbox(key="compare_wrong_one").options == ["CNN", "Lisa’s CNN"]
