"""The view of Compare on mistakes, with made-up predictions."""

import math

import numpy as np
import pytest
from plotly.graph_objects import Figure

from atelier import MODELS, paths
from atelier.evaluation import failures
from atelier.figures import comparison
from atelier.studies import results
from pages.views.compare import failed_digits
from tests.support.made_results import WRONG, own_run, study_run, write_leaderboard


@pytest.fixture
def sheets(monkeypatch):
    """The indices on each sheet of digits, by its key; they follow the page."""
    sheets, indices = {}, []
    monkeypatch.setattr(comparison, "digits", lambda *given: indices.append(given[3].tolist()) or Figure())
    monkeypatch.setattr(failed_digits, "live_picture", lambda figure, key, *_: sheets.update({key: indices[-1]}))
    return sheets


@pytest.fixture
def page(app, sheets, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    write_leaderboard(tmp_path / "shipped")  # the CNN misreads the digits 0 to 36, Faster R-CNN 0 to 65, …
    app.switch_page("pages/compare.py")
    app.query_params["view"] = "failures"
    return app


@pytest.fixture
def fail(page):
    page.run()
    assert not page.exception
    return page


def test_cell_of_a_confusion_matrix_shows_its_digits(fail, sheets):
    predictions = failures.load_predictions(
        results.shipped("leaderboard").predictions, failed_digits.mnist.load("test")[1], MODELS
    )
    true, guess = next((t, g) for t, g in np.argwhere(failures.confusion_matrix(predictions, "vit")).tolist() if t != g)
    fail.session_state["compare_cell"] = "vit", true, guess
    fail.run()
    assert sheets["compare_cell_digits"] == failures.predicted_as(predictions, "vit", true, guess).tolist()


def test_click_selects_a_cell_by_true_digit_and_answer(monkeypatch):
    monkeypatch.setattr(failed_digits, "state", kept := type("State", (), {})())
    failed_digits.cell_clicked("vit", {"x": 9, "y": 4, "curve": 0})
    assert kept.compare_cell == ("vit", 4, 9)


def test_digits_are_grouped_by_how_many_networks_read_them(fail, sheets):
    order = sorted(WRONG.values())
    for count, first in enumerate([0, *order[:-1]]):
        fail.segmented_control(key="compare_right").set_value(count).run()
        assert not fail.exception
        assert set(sheets["compare_right_digits"]) <= set(range(first, order[count]))


def test_all_digits_can_be_browsed_page_by_page(fail, sheets):
    fail.segmented_control(key="compare_right").set_value(0).run()
    digits = list(sheets["compare_right_digits"])
    assert len(digits) == failed_digits.MOST
    for page in range(2, math.ceil(WRONG["cnn"] / failed_digits.MOST) + 1):
        fail.pagination(key="compare_right_digits_page_0").set_value(page).run()
        assert not fail.exception
        digits += sheets["compare_right_digits"]
    assert sorted(digits) == list(range(37))  # all networks misread them
    fail.segmented_control(key="compare_right").set_value(len(MODELS)).run()
    assert len(sheets["compare_right_digits"]) == failed_digits.MOST  # again the first page


def test_digits_that_only_the_first_network_reads(fail, keys, sheets):
    fail.selectbox(key="compare_right_one").set_value("cnn").run()
    fail.selectbox(key="compare_wrong_one").set_value("vit").run()
    assert not fail.exception
    assert sorted(sheets["compare_pair_digits"]) == list(range(37, 47))
    fail.selectbox(key="compare_wrong_one").set_value("cnn").run()
    assert "compare_pair_digits_none" in keys(fail)


def test_chosen_runs_join_the_view(page):
    run = own_run("Lisa’s CNN")
    write_leaderboard(study_run("leaderboard").folder, {run.id: 20}, kind="run", model="cnn")
    page.run()
    assert len(page.selectbox(key="compare_wrong_one").options) == len(MODELS)
    page.pills(key="compare_failing").set_value(["cnn", run.id]).run()
    assert not page.exception
    assert page.selectbox(key="compare_wrong_one").options == [MODELS["cnn"].title, "Lisa’s CNN"]
