"""All runs: the table, and the actions on each."""

from dataclasses import asdict, replace

import numpy as np

from atelier import MODELS, checkpoint, paths
from atelier.recipe import NO_AUGMENTATION
from atelier.runs.folder import Run, read_recipe
from pages.views.train.run_view import STATES
from pages.views.train.runs_table import SPLITS
from tests.support.train_page import enabled, fabricate, number, press, run_state


def test_table_lists_runs_of_every_state(train):
    fabricate("cnn").rename("Anna's")
    fabricate("vit", "stopped", seed=5)
    fabricate("alexnet", "failed", epochs=0)
    train.run()
    assert not train.exception
    table = train.dataframe[0].value.set_index("network")
    assert table.name["CNN"] == "Anna's"
    columns = ["accuracy", "measured_on", "seconds"]
    assert list(table.loc["CNN", columns]) == [0.9912, SPLITS["test"], 13.0]
    assert list(table.loc["ViT", columns]) == [0.9, SPLITS["validation"], 12.0]
    assert np.isnan(table.accuracy["AlexNet"])
    assert dict(table.state) == {"CNN": STATES["done"], "ViT": STATES["stopped"], "AlexNet": STATES["failed"]}


def test_runs_with_the_same_name_can_both_be_chosen(train):
    twins = [fabricate("cnn"), fabricate("cnn")]
    for twin in twins:
        twin.rename("twin")
    train.run()
    names = {twin.id: f"twin ({twin.id[-4:]})" for twin in twins}
    for id, name in names.items():
        train.selectbox(key="run").select(name).run()
        assert train.session_state["run"] == id
    assert dict(train.dataframe[0].value.name) == names


def test_run_without_weights_can_be_neither_used_nor_downloaded(train):
    fabricate(state="stopped", epochs=0)
    train.run()
    assert enabled(train).isdisjoint({"run_use", "run_weights", "run_curves"})
    assert "run_delete" in enabled(train)


def test_deletion_needs_a_confirmation(train):
    run, other = fabricate("vit"), fabricate("cnn")
    train.query_params["run"] = run.id
    press(train.run(), "run_delete")
    assert run.folder.is_dir()
    press(train, "cancel_delete")
    assert run.folder.is_dir()
    press(train, "run_delete")
    press(train, "confirm_delete")
    assert not run.folder.exists()
    assert train.session_state["run"] == other.id


def test_deleted_run_is_not_used_any_more(train):
    run = fabricate("cnn")
    press(train.run(), "run_use")
    press(train, "run_delete")
    press(train, "confirm_delete")
    assert not run.folder.exists()
    assert train.session_state["chosen_runs"] == {}


def test_run_is_renamed(train):
    run = fabricate()
    train.run()
    train.text_input(key=f"run_name_{run.id}").set_value("  Erster Versuch ").run()
    assert run.name == "Erster Versuch"
    assert list(train.dataframe[0].value.name) == ["Erster Versuch"]


def test_recipe_of_a_run_fills_the_form(train):
    changes = {"seed": 9, "train_size": 12_345, "learning_rate": 0.002, "augmentation": NO_AUGMENTATION}
    run = fabricate("vit", sizes={"depth": 3, "dim": 96}, **changes)
    config = run.read("config.json")
    run.write("config.json", config | {"device": "cpu"})
    press(train.run(), "run_duplicate")
    assert train.pills(key="train_networks").value == ["vit"]
    assert train.segmented_control(key="train_preset").value is None
    assert (number(train, "recipe_seed").value, number(train, "size_depth").value) == (9, 3)
    assert train.session_state["train_recipe"]  # is open
    assert train.selectbox(key="train_device").value == "cpu"
    number(train, "recipe_seed").set_value(10).run()
    press(train, "train_start")
    copy = next(other for other in Run.all(paths.RUNS) if other.id != run.id).read("config.json")
    assert read_recipe(copy) == replace(read_recipe(config), seed=10)
    assert copy["network"]["depth"] == 3


def test_markdown_in_a_name_is_shown_as_text(train):
    fabricate().rename("![x](https://elsewhere.example/x.png) $1$")
    press(train.run(), "run_delete")
    shown = [element.value for element in [*train.markdown, *train.warning]]
    assert any("elsewhere" in value for value in shown)
    assert not any("](https" in value for value in shown)


def upload(train, name, content):
    train.file_uploader[0].set_value((name, content, "application/octet-stream")).run()
    assert not train.exception


def test_unusable_file_is_refused(train, text, keys):
    train.run()
    upload(train, "mine.safetensors", b"\x80\x04pickled")
    assert "mine" in text(train, "upload_refused")
    assert Run.all(paths.RUNS) == []
    train.file_uploader[0].set_value([]).run()
    assert "upload_refused" not in keys(train)


def test_uploaded_checkpoint_becomes_a_run(train, keys, tmp_path):
    fabricate()
    train.run()
    network = MODELS["cnn"].build()
    checkpoint.save(tmp_path / "cnn", network.state_dict(), {"model": "cnn", "config": asdict(network.config)})
    upload(train, "cnn.safetensors", (tmp_path / "cnn").read_bytes())
    assert "upload_refused" not in keys(train)
    assert run_state(train) == "done"
    assert [run.id for run in Run.all(paths.RUNS) if run.read("config.json").get("uploaded")] == [
        train.session_state["run"]
    ]
    assert len(train.dataframe[0].value) == 2
    assert "run_use" in enabled(train)
