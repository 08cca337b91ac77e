"""One run as it goes: its buttons, its curves, and what its network sees."""

import shutil

import numpy as np
import pytest

from atelier import MODELS
from pages.views.train import run_view
from tests.support.train_page import button, fabricate, press, shown, watch, without_processes


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    return without_processes(monkeypatch, tmp_path / "runs")


@pytest.fixture
def page(app):
    return app.switch_page("pages/train.py")


BUTTONS = {  # state: what can be pressed
    "queued": {"Pause", "Stop", "Use this one"},
    "running": {"Pause", "Stop", "Use this one"},
    "paused": {"Resume", "Use this one", "Delete"},
    "interrupted": {"Resume", "Use this one", "Delete"},
    "stopped": {"Resume", "Use this one", "Delete"},
    "failed": {"Resume", "Use this one", "Delete"},
    "done": {"Use this one", "Delete"},
}


@pytest.mark.parametrize("state", BUTTONS)
def test_only_buttons_that_can_work_can_be_pressed(page, text, state):
    run = fabricate(state=state)
    with run.lock():
        page.run()
    assert not page.exception
    assert text(page, "run_state").startswith(state)
    labels = {"Pause", "Resume", "Stop", "Use this one", "Delete"}
    assert {button.label for button in page.button if not button.disabled} & labels == BUTTONS[state]


@pytest.mark.parametrize(("label", "request_"), [("Pause", "pause"), ("Stop", "stop")])
def test_a_running_run_is_asked_to_pause_or_to_stop(page, text, label, request_):
    run = fabricate(state="running")
    with run.lock():
        press(page.run(), label)
        assert run.requested() == request_
        assert f"{label}s after this step." in text(page, "run_state")


def test_a_stopped_run_is_resumed(page, text, machine):
    run = fabricate(state="stopped")
    press(page.run(), "Resume")
    assert machine == [run.id]
    assert text(page, "run_state").startswith("queued")


def test_what_has_changed_under_a_button_is_said(page):
    run = fabricate(state="running")
    with run.lock():
        page.run()
    run.set_status("done")
    press(page, "Pause")
    assert "nothing to pause" in shown(page).replace("\\", "")


def test_use_this_one_and_back_to_the_shipped_one(page):
    other, run = fabricate("cnn"), fabricate("cnn")
    page.query_params["run"] = run.id
    press(page.run(), "Use this one")
    assert page.query_params["cnn"] == run.id
    assert dict(page.dataframe[0].value.used) == {run.id: "✓", other.id: ""}
    page.selectbox(key="run").set_value(other.id).run()  # the way back is there, whichever is looked at
    press(page, "Back to the shipped one")
    assert "cnn" not in page.query_params
    assert "used" not in page.dataframe[0].value
    assert not button(page, "Use this one").disabled


def test_somebody_elses_running_run_is_one_click_away(page, text):
    running = fabricate("vit", "running")
    done = fabricate("cnn")
    page.query_params["run"] = done.id
    with running.lock():
        page.run()
        press(page, "Watch the running one")
        assert text(page, "run_state").startswith("running")


@pytest.fixture
def drawn(monkeypatch):
    """The figures of the last look at the page, by key."""
    figures = {}
    monkeypatch.setattr(run_view, "live_figure", lambda figure, key, *_: figures.update({key: figure}))
    return figures


def test_every_panel_changes_with_the_run_and_keeps_its_key(page, drawn, text):
    run = fabricate(state="running")
    with run.lock():
        page.run()
        before = dict(drawn)
        assert {key.split("_")[0] for key in before} == {
            *("loss", "accuracy", "rate", "guesses", "confusion", "filters")
        }
        assert "Epoch 2.0 of 4 · step 40" in str(page.get("progress")[0].proto.text)
        page.run()
        assert drawn == before  # so that nothing is sent anew
        told = {"step": 50, "epoch": 2.5, "seconds": 16.0, "loss": 0.1, "accuracy": 0.5, "learning_rate": 0.05}
        run.append({"split": "train", **told, "images_per_second": 10.0})
        run.append({"split": "val", **told, "images_per_second": 10.0, "confusion": [[1] * 10] * 10})
        watch(run, np.zeros((16, 5, 5), np.float32))
        page.run()
    assert drawn.keys() == before.keys()
    assert [key.split("_")[0] for key in drawn if drawn[key] == before[key]] == ["guesses"]
    told = {metric.label: metric.value for metric in page.metric}
    assert told["Validation accuracy"] == "50.00%"
    assert (told["Elapsed"], told["Images per second"], told["Learning rate"]) == ("16 s", "10", "0.05")
    assert told["Time left"] == "10 s"  # 1.5 epochs at the pace of the last: 7 s


def test_a_figure_is_drawn_once_for_all_who_look(page, drawn, monkeypatch):
    run = fabricate()
    page.run()
    before = dict(drawn)
    for name in ("curves", "rate", "guesses", "confusion", "filters"):
        monkeypatch.setattr(run_view.figures, name, None)
    page.run()
    assert not page.exception
    assert drawn == before
    assert f"loss_{run.id}" in drawn


def test_filters_of_a_fine_tuned_network_are_how_far_they_have_moved(page, drawn):
    run = fabricate("vgg16", epochs=1)
    watch(run, np.zeros((24, 3, 3), np.float32))
    page.run()
    assert not page.exception
    assert "How its filters have moved" in drawn[f"filters_{run.id}"]


def test_other_runs_are_drawn_beside_and_axes_are_chosen(page, drawn):
    other, run = fabricate("vit"), fabricate("cnn")
    page.query_params["run"] = run.id
    page.run()
    loss = f"loss_{run.id}"
    assert MODELS["vit"].colour not in drawn[loss]
    page.multiselect(key="compare").set_value([other.id]).run()
    assert MODELS["vit"].colour in drawn[loss]
    assert "Seconds of training" in drawn[loss]
    page.segmented_control(key="over").set_value("step").run()
    page.toggle(key="log").set_value(True).run()
    assert "Optimiser steps" in drawn[loss]
    assert '"type":"log"' in drawn[loss].replace('"type": "log"', '"type":"log"')
    shutil.rmtree(other.folder)
    page.run()
    assert not page.exception
    assert page.multiselect(key="compare").value == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_without_events_says_what_it_waits_for(page, text, state):
    run = fabricate(state=state, epochs=0)
    run.set_status(state, "Computes frozen features: 100 of 5,000 digits.")
    with run.lock():
        page.run()
    assert not page.exception
    assert text(page, "run_state").rstrip() == f"{state}&ensp;Computes frozen features: 100 of 5,000 digits."


def test_what_a_run_prepares_before_it_learns_fills_the_bar(page, text):
    run = fabricate(state="running", epochs=0)

    def bar():
        (shown,) = page.run().get("progress")
        return shown.proto.value, shown.proto.text

    with run.lock():
        assert bar() == (0, "Epoch 0.0 of 4 · step 0 of 880")
        run.set_status("running", "Downloads the ImageNet weights: 132 of 528 MB.", 132 / 528)
        assert bar() == (25, "Preparing: 25%")
        assert "132 of 528 MB" in text(page, "run_state")
        learnt = {"split": "train", "step": 220, "epoch": 1, "seconds": 3.0, "loss": 1.0, "accuracy": 0.9}
        run.append(learnt)
        run.set_status("running", "Computes frozen features: 5 of 10 digits.", 0.5)  # of the next epoch's copies
        assert bar() == (25, "Epoch 1.0 of 4 · step 220 of 880")
