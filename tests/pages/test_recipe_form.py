"""Asking for a training: what the form offers, refuses, estimates and starts."""

from dataclasses import replace
from threading import Timer

import pytest
import streamlit as st
import torch

from atelier import MODELS, paths
from atelier.models import backbones
from atelier.runs import jobs, overview
from atelier.runs.folder import Run, read_recipe
from pages.views.train import recipe_form
from tests.support.train_page import (
    SPEED,
    THROUGHPUT,
    button,
    fabricate,
    number,
    press,
    refusal,
    shown,
    without_processes,
)


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    return without_processes(monkeypatch, tmp_path / "runs")


@pytest.fixture
def page(app):
    return app.switch_page("pages/train.py")


def test_a_first_visit_says_what_to_do(page):
    page.run()
    assert not page.exception
    assert "press **Start**" in page.info[0].value
    assert not button(page, "Start").disabled
    assert not paths.RUNS.exists()


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
    (run,) = Run.all(paths.RUNS)
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
    (run,) = Run.all(paths.RUNS)
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
    recipes = {run.read("config.json")["model"]: read_recipe(run.read("config.json")) for run in Run.all(paths.RUNS)}
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
    recipes = {run.read("config.json")["model"]: read_recipe(run.read("config.json")) for run in Run.all(paths.RUNS)}
    assert recipes == {name: MODELS[name].presets["demo"] for name in ("cnn", "faster_rcnn")}
    page.pills(key="train_networks").set_value(["cnn"]).run()
    assert page.toggle(key="vary").value


def test_weights_that_must_be_downloaded_are_left_to_the_run(page, machine, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(backbones, "fetch", lambda architecture: pytest.fail("the page waits for a download"))
    page.run()
    page.pills(key="train_networks").set_value(["alexnet"]).run()
    page.selectbox(key="size_backbone").set_value("imagenet").run()
    press(page, "Start")
    (run,) = Run.all(paths.RUNS)
    assert machine == [run.id]
    assert run.read("config.json")["network"]["backbone"] == "imagenet"


def test_a_run_that_was_started_by_a_script_that_was_ended_is_moved_to(page, monkeypatch):
    start = recipe_form.start
    monkeypatch.setattr(recipe_form, "start", lambda *plans: (start(*plans), st.stop()))
    page.run()
    button(page, "Start").click().run()
    page.run()
    (run,) = Run.all(paths.RUNS)
    assert page.session_state["run"] == run.id
    assert page.selectbox(key="run").value == run.id


def test_a_double_click_starts_one_run(page, monkeypatch):
    monkeypatch.setattr(recipe_form, "DOUBLE_CLICK", 60)
    page.run()
    press(page, "Start")
    press(page, "Start")
    assert len(Run.all(paths.RUNS)) == 1
    monkeypatch.setattr(recipe_form, "DOUBLE_CLICK", 0)
    press(page, "Start")
    assert len(Run.all(paths.RUNS)) == 2


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
    assert [each.id for each in Run.all(paths.RUNS)] == [run.id]
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
    if "cuda" in sentence and torch.cuda.is_available():
        pytest.skip("there is one here")
    page.run()
    number(page, "Seed").set_value(77)
    REFUSALS[sentence](page)
    page.run()
    press(page, "Start")
    assert sentence in refusal(page)
    assert machine == []
    assert Run.all(paths.RUNS) == []
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
    assert Run.all(paths.RUNS) == []


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
