"""The Train page as a whole: links, other pages meanwhile, damaged folders, and an unusual network."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from atelier import MODELS, paths
from atelier.runs import snapshots
from atelier.runs.folder import Run
from tests.support.train_page import (
    SNAPSHOT,
    SPEED,
    THROUGHPUT,
    choose,
    enabled,
    fabricate,
    number,
    press,
    run_state,
)


def test_link_opens_its_run_and_follows_the_choice(train):
    old, new = fabricate("vit", "stopped"), fabricate("cnn")
    train.query_params["run"] = old.id
    assert run_state(train.run()) == "stopped"
    train.selectbox(key="run").set_value(new.id).run()
    assert train.query_params["run"] == new.id
    assert run_state(train) == "done"


@pytest.mark.parametrize("link", ["nothing", "../..", ""])
def test_link_to_a_missing_run_opens_another(train, link):
    fabricate()
    train.query_params["run"] = link
    assert run_state(train.run()) == "done"


def test_form_and_run_are_kept_while_another_page_is_open(train):
    old, _ = fabricate("vit"), fabricate("cnn")
    train.run()
    choose(train, "alexnet")
    number(train, "recipe_epochs").set_value(6)
    train.selectbox(key="run").set_value(old.id).run()
    train.switch_page("pages/home.py").run()
    train.switch_page("pages/train.py").run()
    assert not train.exception
    assert train.pills(key="train_networks").value == ["alexnet"]
    assert number(train, "recipe_epochs").value == 6
    assert train.session_state["run"] == train.query_params["run"] == old.id


DAMAGES = {  # more of them in tests/runs/test_overview.py
    "config.json": b"[]",
    "status.json": b'{"state": ["flying"], "reason": 3}',
    "metrics.jsonl": b'7\nnull\n{"step": {}}\n\xff\n',
    "watch.npz": b"PK\x03\x04",
    "every file": None,
}


@pytest.mark.parametrize("file", DAMAGES)
def test_damaged_run_is_shown_and_can_be_deleted(train, file):
    whole, run = fabricate("vit"), fabricate("cnn")
    train.query_params["run"] = run.id
    train.run()
    if content := DAMAGES[file]:
        run.path(file).write_bytes(content)
    else:
        for path in run.folder.iterdir():
            path.unlink()
    train.run()
    assert not train.exception
    assert len(train.dataframe[0].value) == 2
    press(train, "run_delete")
    press(train, "confirm_delete")
    assert [left.id for left in Run.all(paths.RUNS)] == [whole.id]


def test_run_deleted_by_hand_gives_way_to_another(train):
    whole, run = fabricate("vit"), fabricate("cnn")
    train.query_params["run"] = run.id
    train.run()
    shutil.rmtree(run.folder)
    train.run()
    assert not train.exception
    assert train.session_state["run"] == whole.id


def test_network_without_family_sizes_and_second_preset_is_trained_and_shown(train, monkeypatch, launched, keys):
    demo = MODELS["cnn"].presets["demo"]
    toy = replace(MODELS["cnn"], name="toy", title="Toy", family=None, sizes=(), presets={"quick": demo})
    monkeypatch.setitem(MODELS, "toy", toy)
    monkeypatch.setitem(THROUGHPUT["networks"], "toy", SPEED)
    train.run()
    choose(train, "toy")
    assert train.segmented_control(key="train_preset").value == "quick"
    press(train, "train_start")
    (run,) = Run.all(paths.RUNS)
    assert launched == [run.id]
    snapshots.write(run, SNAPSHOT | {"step": np.array(3)})
    train.run()
    assert not train.exception
    assert list(train.dataframe[0].value.network) == ["Toy"]
    assert f"predictions_{run.id}" in keys(train)
    press(train, "run_duplicate")
    assert train.pills(key="train_networks").value == ["toy"]
    assert "train_start" in enabled(train)
