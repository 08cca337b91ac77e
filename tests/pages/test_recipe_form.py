"""The form that starts a training: its controls, refusals, estimates and starts."""

from dataclasses import asdict, fields, replace
from threading import Timer

import pytest
import streamlit as st
import torch

from atelier import MODELS, paths
from atelier.models import backbones
from atelier.recipe import Augmentation, Recipe
from atelier.runs import jobs, overview
from atelier.runs.folder import Run, read_recipe
from pages.views.train import recipe_controls, recipe_form, time_estimate
from tests.support.train_page import SPEED, THROUGHPUT, choose, configs, enabled, fabricate, number, press


def recipes():
    return {model: read_recipe(config) for model, config in configs().items()}


def test_first_visit_offers_a_start(train, keys):
    train.run()
    assert not train.exception
    assert "no_runs" in keys(train)
    assert "train_start" in enabled(train)
    assert not paths.RUNS.exists()


@pytest.mark.parametrize("preset", ["demo", "full"])
@pytest.mark.parametrize("model", MODELS)
def test_preset_fills_the_controls_and_starts_as_it_is(train, model, preset, keys):
    train.run()
    choose(train, model)
    train.segmented_control(key="train_preset").set_value(preset).run()
    assert not train.exception
    recipe = MODELS[model].presets[preset]
    assert number(train, "recipe_epochs").value == recipe.epochs
    assert train.select_slider(key="recipe_train_size").value == recipe.train_size
    assert train.selectbox(key="recipe_optimizer").value == recipe.optimizer
    press(train, "train_start")
    assert recipes() == {model: recipe}


def test_every_field_of_a_recipe_has_a_control():
    assert {*recipe_controls.RECIPE, "augmentation"} == {field.name for field in fields(Recipe)}
    assert recipe_controls.LIMITS.keys() == asdict(Augmentation()).keys()


@pytest.mark.parametrize("model", MODELS)
def test_network_has_its_own_controls_and_each_has_a_help_text(train, model):
    train.run()
    choose(train, model)
    controls = [*train.number_input, *train.selectbox, *train.select_slider, *train.toggle]
    spec = MODELS[model]
    sizes = {f"size_{size.name}" for size in spec.sizes}
    assert {control.key for control in controls if control.key.startswith("size_")} == sizes
    special = {f"recipe_{field}" for each in MODELS.values() for field in each.recipe_fields}
    assert {control.key for control in controls} & special == {f"recipe_{field}" for field in spec.recipe_fields}
    assert [control.key for control in controls if not control.help] == []


def test_changed_controls_are_trained(train, launched):
    train.run()
    choose(train, "vit")
    number(train, "recipe_epochs").set_value(2)
    number(train, "size_depth").set_value(2)
    train.selectbox(key="size_patch_size").set_value(7)
    train.selectbox(key="recipe_schedule").set_value("cosine")
    train.toggle(key="vary").set_value(False).run()
    press(train, "train_start")
    (run,) = Run.all(paths.RUNS)
    expected = replace(
        MODELS["vit"].presets["demo"], epochs=2, schedule="cosine", augmentation=recipe_controls.NO_AUGMENTATION
    )
    assert recipes() == {"vit": expected}
    network = run.read("config.json")["network"]
    assert (network["depth"], network["patch_size"], network["heads"]) == (2, 7, 4)
    assert launched == [run.id]
    assert train.session_state["run"] == train.query_params["run"] == run.id


def test_several_networks_queue_with_their_own_recipes(train, launched, keys):
    train.run()
    choose(train, "vit", "cnn")
    assert number(train, "recipe_learning_rate").value is None  # theirs differ
    assert number(train, "recipe_epochs").value == 4
    number(train, "recipe_epochs").set_value(3).run()
    press(train, "train_start")
    assert recipes() == {name: replace(MODELS[name].presets["demo"], epochs=3) for name in ("cnn", "vit")}
    assert [id.split("-")[2] for id in launched] == ["cnn", "vit"]
    assert train.session_state["run"] == launched[0]
    assert train.session_state["compare"] == launched[1:]


def test_networks_with_different_augmentation_keep_their_own(train, keys):
    train.run()
    choose(train, "cnn", "faster_rcnn")
    assert "augmentation_varies" in keys(train)
    assert "vary" not in keys(train)
    press(train, "train_start")
    assert recipes() == {name: MODELS[name].presets["demo"] for name in ("cnn", "faster_rcnn")}
    choose(train, "cnn")
    assert train.toggle(key="vary").value


def test_download_of_weights_is_left_to_the_run(train, launched, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(backbones, "fetch", lambda architecture: pytest.fail("the page waits for a download"))
    train.run()
    choose(train, "alexnet")
    train.selectbox(key="size_backbone").set_value("imagenet").run()
    press(train, "train_start")
    assert len(launched) == 1
    assert configs()["alexnet"]["network"]["backbone"] == "imagenet"


def test_page_moves_to_a_run_whose_script_was_ended(train, monkeypatch):
    start = recipe_form.start
    monkeypatch.setattr(recipe_form, "start", lambda *arguments: (start(*arguments), st.stop()))
    train.run()
    train.button(key="train_start").click().run()
    train.run()
    (run,) = Run.all(paths.RUNS)
    assert train.session_state["run"] == train.selectbox(key="run").value == run.id


def test_double_click_starts_one_run(train, monkeypatch):
    monkeypatch.setattr(recipe_form, "DOUBLE_CLICK", 60)
    train.run()
    press(train, "train_start")
    press(train, "train_start")
    assert len(Run.all(paths.RUNS)) == 1
    monkeypatch.setattr(recipe_form, "DOUBLE_CLICK", 0)
    press(train, "train_start")
    assert len(Run.all(paths.RUNS)) == 2


def test_click_while_another_script_starts_a_run_waits(train):
    train.run()
    starting = train.session_state["starting"]
    starting.busy = True
    run = fabricate()

    def end():
        starting.started.append(run.id)
        starting.busy = False

    Timer(0.3, end).start()
    press(train, "train_start")
    assert not starting.busy
    assert [each.id for each in Run.all(paths.RUNS)] == [run.id]
    assert starting.started == []  # the page has moved to it
    assert train.session_state["run"] == run.id


@pytest.mark.parametrize("error", [ValueError("no place"), OSError(28, "disk full")])
def test_every_refused_start_is_reported(train, text, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(jobs, "start", refuse)
    train.run()
    choose(train, "cnn", "vit")
    press(train, "train_start")
    assert text(train, "train_refusal").count(error.args[-1]) == 2


def test_promise_holds_for_an_unchanged_preset_of_one_network_only(train, keys):
    train.run()
    assert "train_promise" in keys(train)
    number(train, "recipe_epochs").set_value(1).run()
    assert "train_promise" not in keys(train)
    choose(train, "cnn", "vit")
    assert "train_promise" not in keys(train)


REFUSED = {
    "a batch of all digits and more": lambda train: number(train, "recipe_batch_size").set_value(60_000),
    "no epoch": lambda train: number(train, "recipe_epochs").set_value(0),
    "strokes far too wide": lambda train: number(train, "vary_stroke").set_value(1.5),
    "an optimiser for other networks": lambda train: train.selectbox(key="recipe_optimizer").set_value("muon"),
    "a missing device": lambda train: train.selectbox(key="train_device").set_value("cuda"),
    "sizes that do not fit": lambda train: (
        train.pills(key="train_networks").set_value(["vit"]).run(),
        number(train, "size_heads").set_value(5),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_impossible_settings_are_refused_and_nothing_is_lost(train, launched, keys, what):
    if what == "a missing device" and torch.cuda.is_available():
        pytest.skip("there is one here")
    train.run()
    REFUSED[what](train)
    number(train, "recipe_seed").set_value(77)
    train.run()
    press(train, "train_start")
    assert launched == Run.all(paths.RUNS) == []
    train.run()
    assert "train_refusal" in keys(train)  # until something changes
    assert "train_estimate" not in keys(train)
    assert number(train, "recipe_seed").value == 77
    train.selectbox(key="train_device").set_value("auto")
    choose(train, "cnn")
    train.segmented_control(key="train_preset").set_value("full").run()
    assert "train_refusal" not in keys(train)


def test_batch_shrinks_with_the_digits(train, keys):
    train.run()
    train.select_slider(key="recipe_train_size").set_value(100).run()
    assert number(train, "recipe_batch_size").value == 10
    assert "train_refusal" not in keys(train)
    train.select_slider(key="recipe_train_size").set_value(55_000).run()
    assert number(train, "recipe_batch_size").value == 10


def test_start_needs_a_network(train):
    train.run()
    choose(train)
    assert "train_start" not in enabled(train)


def test_time_is_estimated_for_all_networks(train, text):
    train.run()
    # 3 s to start, 4 epochs of 55,000 at 1,000 and 5,000 at 10,000 a second, and 10,000 test digits: 226 s
    assert overview.duration(226) in text(train, "train_estimate")
    choose(train, "cnn", "vit")
    # 3 s, 4 epochs of 15,000 and 5,000, the test: 66 s more
    for seconds in (226, 66, 292):
        assert overview.duration(seconds) in text(train, "train_estimate")


def test_unknown_computer_is_measured_once_and_when_it_is_idle(train, keys, launched, monkeypatch):
    monkeypatch.setattr(time_estimate, "load_throughput", lambda device: None)
    run = fabricate(state="queued")
    train.run()
    assert "train_estimate_busy" in keys(train)
    assert launched == []
    run.set_status("done")
    train.run().run()
    assert "train_estimate_measuring" in keys(train)
    assert launched == ["cpu"]
    monkeypatch.setattr(time_estimate, "PATIENCE", -1)
    assert "train_estimate_unknown" in keys(train.run())
    monkeypatch.setattr(time_estimate, "load_throughput", lambda device: THROUGHPUT | {"networks": {"cnn": SPEED}})
    train.run()
    assert "train_estimate_unknown" not in keys(train)
    choose(train, "cnn", "vit")  # only the first is measured yet
    assert "train_estimate_unknown" in keys(train)
