"""The Train page on run folders made by hand: no test here trains anything."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import streamlit as st

from atelier import MODELS, checkpoint
from atelier.training import jobs, overview, runs
from atelier.training.runs import Run, read_recipe
from pages import recipe_form, run_view

ROOT = Path(__file__).parent.parent.parent
SPEED = {"train_digits_per_second": 1000.0, "frozen_digits_per_second": None, "predict_digits_per_second": 10_000.0}
THROUGHPUT = {"startup_seconds": 3.0, "networks": dict.fromkeys(MODELS, SPEED)}


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """No process is started; what would be is listed. Its runs are in a folder of their own."""
    launched = []
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(jobs, "_launch", lambda run, model: launched.append(run.id))
    monkeypatch.setattr(jobs, "measure", lambda device: launched.append(device))
    monkeypatch.setattr(recipe_form, "place_of", lambda device: "cpu")
    monkeypatch.setattr(recipe_form, "load_throughput", lambda device: THROUGHPUT)
    recipe_form.measuring.clear()
    return launched


@pytest.fixture
def page(app):
    return app.switch_page("pages/train.py")


def fabricate(model="cnn", state="done", epochs=2, **changes):
    """A run of a network's demo that has learnt for some epochs."""
    recipe = replace(MODELS[model].presets["demo"], **changes)
    config = {"model": model, "recipe": asdict(recipe), "network": {}, "device_name": "2 CPU cores"}
    run = Run.create(runs.RUNS, config)
    for half in range(1, 2 * epochs + 1):
        told = {"step": 10 * half, "epoch": half / 2, "seconds": 3.0 * half, "loss": 1 / half, "accuracy": 0.9}
        told |= {"learning_rate": 0.1, "images_per_second": 1000.0}
        run.append({"split": "train", **told})
        if half % 2 == 0:
            run.append({"split": "val", **told, "confusion": (np.eye(10, dtype=int) * 500).tolist()})
            run.path("best.safetensors").write_bytes(b"weights")
    watch(run, np.ones((16, 5, 5), np.float32))
    if state == "done":
        run.write("result.json", {"accuracy": 0.9912, "seconds": 13.0})
    run.set_status(state)
    return run


def watch(run, filters):
    guesses = np.full((12, 10), 0.1, np.float32)
    with open(run.path("watch.npz"), "wb") as file:
        np.savez(
            file,
            digits=np.zeros((12, 28, 28), np.uint8),
            labels=np.arange(12) % 10,
            probabilities=guesses,
            filters=filters,
        )


def button(page, label):
    (found,) = [button for button in [*page.button, *page.get("download_button")] if button.label == label]
    return found


def press(page, label):
    button(page, label).click().run()
    assert not page.exception
    return page


def number(page, label):
    (found,) = [control for control in page.number_input if control.label == label]
    return found


def refusal(page):
    """The error on the page, as it is read."""
    return page.error[0].value.replace("\\", "")


def shown(page):
    """All sentences on the page."""
    elements = [*page.markdown, *page.error, *page.warning, *page.info, *page.caption, *page.toast, *page.html]
    return " ".join(element.value for element in elements)


# Asking for a training -----------------------------------------------------------------------------------------------


def test_a_first_visit_says_what_to_do(page):
    page.run()
    assert not page.exception
    assert "press **Start**" in page.info[0].value
    assert not button(page, "Start").disabled
    assert not runs.RUNS.exists()


@pytest.mark.parametrize("preset", ["demo", "full"])
@pytest.mark.parametrize("model", MODELS)
def test_a_preset_fills_the_controls(page, model, preset):
    page.run()
    page.pills(key="train_networks").set_value([model]).run()
    page.segmented_control(key="train_preset").set_value(preset).run()
    assert not page.exception
    recipe = MODELS[model].presets[preset]
    assert number(page, "Epochs").value == recipe.epochs
    assert number(page, "Learning rate").value == recipe.learning_rate
    assert page.select_slider(key="recipe_train_size").value == recipe.train_size
    assert page.selectbox(key="recipe_optimizer").value == recipe.optimizer
    press(page, "Start")
    (run,) = Run.all(runs.RUNS)
    assert read_recipe(run.read("config.json")) == recipe
    assert overview.summarise(run).changes == preset.capitalize()


OWN = {
    "cnn": set(),
    "faster_rcnn": {"Digits per scene"},
    "vgg16": {"Backbone", "Convolutions that learn", "Input size", "Varied copies"},
    "alexnet": {"Backbone", "Convolutions that learn", "Input size", "Varied copies"},
    "vit": {"Patch size", "Depth", "Heads", "Width (dim)"},
}


@pytest.mark.parametrize("model", MODELS)
def test_a_network_has_its_own_controls_and_each_explains_itself(page, model):
    page.run()
    page.pills(key="train_networks").set_value([model]).run()
    controls = [*page.number_input, *page.selectbox, *page.select_slider, *page.toggle]
    labels = {control.label for control in controls}
    assert labels & set.union(*OWN.values()) == OWN[model]
    assert [control.label for control in controls if not control.help] == []


def test_what_is_changed_is_what_is_trained(page, machine):
    page.run()
    page.pills(key="train_networks").set_value(["vit"]).run()
    number(page, "Epochs").set_value(2)
    number(page, "Depth").set_value(2)
    page.selectbox(key="size_patch_size").set_value(7)
    page.selectbox(key="recipe_schedule").set_value("cosine")
    page.toggle(key="vary").set_value(False).run()
    press(page, "Start")
    (run,) = Run.all(runs.RUNS)
    config = run.read("config.json")
    assert (config["network"]["depth"], config["network"]["patch_size"], config["network"]["heads"]) == (2, 7, 4)
    assert overview.summarise(run).changes == (
        "Demo, epochs 2, schedule cosine, no augmentation, patch size 7, depth 2"
    )
    assert machine == [run.id]
    assert page.session_state["run"] == run.id
    assert page.query_params["run"] == run.id


def test_several_networks_queue_and_keep_their_own_recipes(page, machine):
    page.run()
    page.pills(key="train_networks").set_value(["vit", "cnn"]).run()
    assert number(page, "Learning rate").value is None  # theirs differ
    assert number(page, "Epochs").value == 4
    number(page, "Epochs").set_value(3).run()
    press(page, "Start")
    recipes = {run.read("config.json")["model"]: read_recipe(run.read("config.json")) for run in Run.all(runs.RUNS)}
    assert recipes == {name: replace(MODELS[name].presets["demo"], epochs=3) for name in ("cnn", "vit")}
    assert [id.split("-")[2] for id in machine] == ["cnn", "vit"]
    assert "cnn" in page.session_state["run"]
    assert ["vit" in id for id in page.session_state["compare"]] == [True]


def test_networks_whose_presets_vary_the_digits_differently_keep_their_own_augmentation(page):
    page.run()
    page.pills(key="train_networks").set_value(["cnn", "faster_rcnn"]).run()
    assert "augmentation): each its own" in shown(page)
    assert not [toggle for toggle in page.toggle if toggle.key == "vary"]
    press(page, "Start")
    recipes = {run.read("config.json")["model"]: read_recipe(run.read("config.json")) for run in Run.all(runs.RUNS)}
    assert recipes == {name: MODELS[name].presets["demo"] for name in ("cnn", "faster_rcnn")}
    page.pills(key="train_networks").set_value(["cnn"]).run()
    assert page.toggle(key="vary").value


def test_a_run_that_was_started_by_a_script_that_was_ended_is_moved_to(page, monkeypatch):
    start = recipe_form.start
    monkeypatch.setattr(recipe_form, "start", lambda *plans: (start(*plans), st.stop()))
    page.run()
    button(page, "Start").click().run()
    page.run()
    (run,) = Run.all(runs.RUNS)
    assert page.session_state["run"] == run.id
    assert page.selectbox(key="run").value == run.id


def test_a_double_click_starts_one_run(page, monkeypatch):
    page.run()
    press(page, "Start")
    press(page, "Start")
    assert len(Run.all(runs.RUNS)) == 1
    monkeypatch.setattr(recipe_form, "DOUBLE_CLICK", 0)
    press(page, "Start")
    assert len(Run.all(runs.RUNS)) == 2


def test_a_click_while_a_run_is_being_started_waits_for_that(page):
    page.run()
    starting = page.session_state["starting"]
    starting.busy = True  # another script of this session is at it
    run = fabricate()

    def end():
        starting.started.append(run.id)
        starting.busy = False

    Timer(0.3, end).start()
    press(page, "Start")
    assert not starting.busy
    assert [each.id for each in Run.all(runs.RUNS)] == [run.id]
    assert starting.started == []  # has been moved to
    assert page.session_state["run"] == run.id


def test_every_refusal_is_said(page, monkeypatch):
    def refuse(model, *_):
        raise ValueError(f"No place for {model}.")

    monkeypatch.setattr(jobs, "start", refuse)
    page.run()
    page.pills(key="train_networks").set_value(["cnn", "vit"]).run()
    press(page, "Start")
    assert "CNN: No place for cnn. ViT: No place for vit." in refusal(page)


def test_what_a_preset_promises_is_said_of_that_alone(page, text):
    promise = recipe_form.PRESETS["demo"]
    page.run()
    assert promise in shown(page)
    number(page, "Epochs").set_value(1).run()
    assert promise not in shown(page)
    page.pills(key="train_networks").set_value(["cnn", "vit"]).run()
    assert promise not in shown(page)


REFUSALS = {
    "A batch holds 2 to 55,000 digits": lambda page: number(page, "Batch size").set_value(60_000),
    "at least 1 epoch": lambda page: number(page, "Epochs").set_value(0),
    "The learning rate lies above 0": lambda page: number(page, "Learning rate").set_value(0.0),
    "outline by more than 1 pixel": lambda page: number(page, "Stroke").set_value(1.5),
    "only the ViT has them": lambda page: page.selectbox(key="recipe_optimizer").set_value("muon"),
    "no cuda device": lambda page: page.selectbox(key="train_device").set_value("cuda"),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_what_cannot_work_is_refused_with_the_reason_and_nothing_is_lost(page, machine, sentence):
    page.run()
    number(page, "Seed").set_value(77)
    REFUSALS[sentence](page)
    page.run()
    press(page, "Start")
    assert sentence in refusal(page)
    assert machine == []
    assert Run.all(runs.RUNS) == []
    page.run()
    assert sentence in refusal(page)  # until something is changed
    assert number(page, "Seed").value == 77
    page.segmented_control(key="train_preset").set_value("full")
    page.selectbox(key="train_device").set_value("auto").run()
    assert not page.error


def test_sizes_that_do_not_fit_are_refused_as_soon_as_they_are_chosen(page, machine):
    page.run()
    page.pills(key="train_networks").set_value(["vit"]).run()
    number(page, "Heads").set_value(5).run()
    assert "5 heads cannot share 96 numbers" in refusal(page)
    press(page, "Start")
    assert Run.all(runs.RUNS) == []


def test_a_full_disk_is_said(page, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "start", full)
    page.run()
    press(page, "Start")
    assert "No space left on device" in refusal(page)


def test_a_batch_shrinks_with_the_digits(page):
    page.run()
    page.select_slider(key="recipe_train_size").set_value(100).run()
    assert number(page, "Batch size").value == 10
    assert not page.error
    page.select_slider(key="recipe_train_size").set_value(55_000).run()
    assert number(page, "Batch size").value == 10


def test_without_a_network_there_is_nothing_to_start(page):
    page.run()
    page.pills(key="train_networks").set_value([]).run()
    assert not page.exception
    assert button(page, "Start").disabled


def test_the_time_is_estimated_for_all_that_is_chosen(page, text):
    page.run()
    # 3 s to start, 4 epochs of 55,000 at 1,000 and 5,000 at 10,000 a second, and 10,000 test digits: 226 s
    assert "About **3 min 46 s**" in text(page, "train_estimate")
    page.pills(key="train_networks").set_value(["cnn", "vit"]).run()
    # 3 s, 4 epochs of 15,000 and 5,000, the test: 66 s more
    assert "About **4 min 52 s** on this machine: CNN 3 min 46 s, ViT 1 min 6 s" in text(page, "train_estimate")


def test_an_unknown_machine_is_measured_once(page, text, machine, monkeypatch):
    monkeypatch.setattr(recipe_form, "load_throughput", lambda device: None)
    run = fabricate(state="queued")
    page.run()
    assert "measured when no network is trained" in text(page, "train_estimate")
    assert machine == []
    run.set_status("done")
    page.run().run()
    assert "Measuring this machine for a minute" in text(page, "train_estimate")
    assert machine == ["cpu"]
    monkeypatch.setattr(recipe_form, "PATIENCE", -1)
    page.run()
    assert "could not be measured" in text(page, "train_estimate")
    monkeypatch.setattr(recipe_form, "load_throughput", lambda device: THROUGHPUT | {"networks": {"cnn": SPEED}})
    assert "About" in text(page.run(), "train_estimate")  # one network after another is measured
    page.pills(key="train_networks").set_value(["cnn", "vit"]).run()
    assert "About" not in text(page, "train_estimate")


# Looking at runs -----------------------------------------------------------------------------------------------------


def test_the_table_lists_runs_of_every_state(page):
    fabricate("cnn").rename("Anna's")
    fabricate("vit", "stopped", seed=5)
    fabricate("alexnet", "failed", epochs=0)
    page.run()
    assert not page.exception
    table = page.dataframe[0].value.set_index("network")
    assert table.name["CNN"] == "Anna's"
    assert (table.accuracy["CNN"], table.measured_on["CNN"], table.seconds["CNN"]) == (0.9912, "test", 13.0)
    assert (table.accuracy["ViT"], table.measured_on["ViT"], table.changes["ViT"]) == (
        0.9,
        "validation",
        "Demo, seed 5",
    )
    assert np.isnan(table.accuracy["AlexNet"])
    assert dict(table.state) == {"CNN": "done", "ViT": "stopped", "AlexNet": "failed"}
    assert set(table.device) == {"2 CPU cores"}


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
    labels = ("Pause", "Resume", "Stop", "Use this one", "Delete")
    assert {label for label in labels if not button(page, label).disabled} == BUTTONS[state]


def test_two_runs_of_the_same_name_can_both_be_looked_at(page):
    twins = [fabricate("cnn"), fabricate("cnn")]
    for twin in twins:
        twin.rename("twin")
    page.run()
    for twin in twins:
        page.selectbox(key="run").select(f"twin ({twin.id[-4:]})").run()
        assert page.session_state["run"] == twin.id
    assert sorted(page.dataframe[0].value.name) == sorted(f"twin ({twin.id[-4:]})" for twin in twins)


def test_a_run_without_weights_can_be_neither_used_nor_downloaded(page):
    fabricate(state="stopped", epochs=0)
    page.run()
    assert button(page, "Use this one").disabled
    assert button(page, "Weights").proto.disabled


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


def test_deleting_asks_first(page):
    run, other = fabricate("vit"), fabricate("cnn")
    page.query_params["run"] = run.id
    press(page.run(), "Delete")
    assert run.folder.is_dir()
    press(page, "Keep it")
    assert run.folder.is_dir()
    press(page, "Delete")
    press(page, "Delete for good")
    assert not run.folder.exists()
    assert page.session_state["run"] == other.id


def test_renaming(page):
    run = fabricate()
    page.run()
    page.text_input(key=f"name_{run.id}").set_value("  Erster Versuch ").run()
    assert run.name == "Erster Versuch"
    assert list(page.dataframe[0].value.name) == ["Erster Versuch"]


def test_duplicating_fills_the_form(page, machine):
    run = fabricate("vit", seed=9, train_size=12_345, learning_rate=0.002, augmentation=overview.NO_AUGMENTATION)
    config = run.read("config.json")
    run.write("config.json", config | {"network": {"depth": 3, "dim": 96}, "device": "cpu"})
    press(page.run(), "Duplicate with changes")
    assert page.pills(key="train_networks").value == ["vit"]
    assert page.segmented_control(key="train_preset").value is None
    assert (number(page, "Seed").value, number(page, "Depth").value) == (9, 3)
    assert page.session_state["train_recipe"]  # is open
    assert page.selectbox(key="train_device").value == "cpu"
    number(page, "Seed").set_value(10).run()
    press(page, "Start")
    copy = next(other for other in Run.all(runs.RUNS) if other.id != run.id)
    expected = replace(read_recipe(config), seed=10)
    assert read_recipe(copy.read("config.json")) == expected
    assert copy.read("config.json")["network"]["depth"] == 3


def test_a_link_shows_its_run_and_a_wrong_one_the_newest(page, text):
    old, new = fabricate("vit", "stopped"), fabricate("cnn")
    page.query_params["run"] = old.id
    assert text(page.run(), "run_state").startswith("stopped")
    page.selectbox(key="run").set_value(new.id).run()
    assert page.query_params["run"] == new.id
    assert text(page, "run_state").startswith("done")


@pytest.mark.parametrize("link", ["nothing", "../..", ""])
def test_a_link_to_a_run_that_is_gone_shows_another(page, text, link):
    fabricate()
    page.query_params["run"] = link
    assert text(page.run(), "run_state").startswith("done")


def test_form_and_run_are_kept_while_another_page_is_visited(page):
    old, _ = fabricate("vit"), fabricate("cnn")
    page.run()
    page.pills(key="train_networks").set_value(["alexnet"]).run()
    number(page, "Epochs").set_value(6)
    page.selectbox(key="run").set_value(old.id).run()
    page.switch_page("pages/home.py").run()
    page.switch_page("pages/train.py").run()
    assert not page.exception
    assert page.pills(key="train_networks").value == ["alexnet"]
    assert number(page, "Epochs").value == 6
    assert page.session_state["run"] == old.id
    assert page.query_params["run"] == old.id


def test_use_this_one_and_back_to_the_shipped_one(page):
    other, run = fabricate("cnn"), fabricate("cnn")
    page.query_params["run"] = run.id
    press(page.run(), "Use this one")
    assert page.query_params["cnn"] == run.id
    assert dict(page.dataframe[0].value.used) == {run.id: "✓", other.id: ""}
    page.selectbox(key="run").set_value(other.id).run()  # the way back is there, whichever is looked at
    press(page, "Back to the shipped CNN")
    assert "cnn" not in page.query_params
    assert "used" not in page.dataframe[0].value
    assert not button(page, "Use this one").disabled


def test_somebody_elses_running_run_is_one_click_away(page, text):
    running = fabricate("vit", "running")
    done = fabricate("cnn")
    page.query_params["run"] = done.id
    with running.lock():
        page.run()
        (watch_it,) = [button for button in page.button if button.label.startswith("Watch")]
        watch_it.click().run()
        assert text(page, "run_state").startswith("running")


def test_a_strangers_name_is_shown_as_it_is(page):
    run = fabricate()
    run.rename("![x](https://elsewhere.example/x.png) $1$")
    press(page.run(), "Delete")
    assert not page.exception
    assert "](https" not in shown(page)


# Live ----------------------------------------------------------------------------------------------------------------


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


# Damage --------------------------------------------------------------------------------------------------------------


def bad(name, content):
    def damage(run):
        run.path(name).write_bytes(content)

    return damage


def gone(*names):
    def damage(run):
        for name in names:
            run.path(name).unlink()

    return damage


DAMAGES = {
    "config cut off": bad("config.json", b'{"model": "cnn"'),
    "config a list": bad("config.json", b"[]"),
    "config gone": gone("config.json"),
    "another network": bad("config.json", json.dumps({"model": "resnet"}).encode()),
    "status gone": gone("status.json"),
    "status nonsense": bad("status.json", b'{"state": ["flying"], "reason": 3}'),
    "curve nonsense": bad("metrics.jsonl", b'7\nnull\n{"step": {}}\n\xff\n'),
    "curve gone": gone("metrics.jsonl"),
    "watch cut off": bad("watch.npz", b"PK\x03\x04"),
    "result nonsense": bad("result.json", b'{"accuracy": "high", "seconds": NaN}'),
    "name nonsense": bad("name.json", b'{"name": {"a": 1}}'),
    "all gone": gone("config.json", "status.json", "metrics.jsonl", "watch.npz", "best.safetensors", "result.json"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_shown_and_can_be_deleted(page, damage):
    whole, run = fabricate("vit"), fabricate("cnn")
    page.query_params["run"] = run.id
    page.run()
    damage(run)  # between two looks
    page.run()
    assert not page.exception
    assert len(page.dataframe[0].value) == 2
    press(page, "Delete")
    press(page, "Delete for good")
    assert [left.id for left in Run.all(runs.RUNS)] == [whole.id]


def test_a_run_that_is_deleted_by_hand_leaves_the_page_to_others(page):
    whole, run = fabricate("vit"), fabricate("cnn")
    page.query_params["run"] = run.id
    page.run()
    shutil.rmtree(run.folder)
    page.run()
    assert not page.exception
    assert page.session_state["run"] == whole.id


# Bringing and taking -------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_checkpoint_is_refused(page):
    page.run()
    page.file_uploader[0].set_value(("best.safetensors", b"\x80\x04pickled", "application/octet-stream")).run()
    assert not page.exception
    assert "best.safetensors is not a safetensors file" in refusal(page)
    assert Run.all(runs.RUNS) == []
    page.file_uploader[0].set_value([]).run()
    assert not page.error


def test_a_checkpoint_becomes_a_run_that_is_looked_at(page, text, tmp_path):
    fabricate()
    page.run()
    network = MODELS["cnn"].build()
    checkpoint.save(tmp_path / "cnn", network.state_dict(), {"model": "cnn", "config": asdict(network.config)})
    content = (tmp_path / "cnn").read_bytes()
    page.file_uploader[0].set_value(("cnn.safetensors", content, "application/octet-stream")).run()
    assert not page.exception
    assert not page.error
    assert text(page, "run_state") == "done&ensp;Uploaded."
    assert len(page.dataframe[0].value) == 2
    assert not button(page, "Use this one").disabled


def test_the_page_needs_no_pytorch_to_show_itself():
    code = "from pages import recipe_form, run_view, runs_table; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
