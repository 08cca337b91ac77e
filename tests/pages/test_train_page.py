"""The Train page as a whole: links, other pages meanwhile, and folders that somebody has damaged."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atelier import paths
from atelier.runs.folder import Run
from tests.support.train_page import fabricate, number, press, without_processes

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    return without_processes(monkeypatch, tmp_path / "runs")


@pytest.fixture
def page(app):
    return app.switch_page("pages/train.py")


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
    assert [left.id for left in Run.all(paths.RUNS)] == [whole.id]


def test_a_run_that_is_deleted_by_hand_leaves_the_page_to_others(page):
    whole, run = fabricate("vit"), fabricate("cnn")
    page.query_params["run"] = run.id
    page.run()
    shutil.rmtree(run.folder)
    page.run()
    assert not page.exception
    assert page.session_state["run"] == whole.id


def test_the_page_needs_no_pytorch_to_show_itself():
    code = "from pages import recipe_form, run_view, runs_table; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
