"""All runs: the table, and what can be done with each."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from atelier import MODELS, checkpoint, paths
from atelier.runs import overview
from atelier.runs.folder import Run, read_recipe
from tests.support.train_page import button, fabricate, number, press, refusal, shown, without_processes


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    return without_processes(monkeypatch, tmp_path / "runs")


@pytest.fixture
def page(app):
    return app.switch_page("pages/train.py")


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
    copy = next(other for other in Run.all(paths.RUNS) if other.id != run.id)
    expected = replace(read_recipe(config), seed=10)
    assert read_recipe(copy.read("config.json")) == expected
    assert copy.read("config.json")["network"]["depth"] == 3


def test_a_strangers_name_is_shown_as_it_is(page):
    run = fabricate()
    run.rename("![x](https://elsewhere.example/x.png) $1$")
    press(page.run(), "Delete")
    assert not page.exception
    assert "](https" not in shown(page)


def test_a_file_that_is_no_checkpoint_is_refused(page):
    page.run()
    page.file_uploader[0].set_value(("best.safetensors", b"\x80\x04pickled", "application/octet-stream")).run()
    assert not page.exception
    assert "best.safetensors is not a safetensors file" in refusal(page)
    assert Run.all(paths.RUNS) == []
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
