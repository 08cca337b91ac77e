"""A network as a file, from the Compare page. Fast commands replace the real one, except in the last test."""

import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

import atelier
from atelier import MODELS, paths
from atelier.runs.folder import RunError
from atelier.studies import results
from pages.views.compare import exports
from tests.support.made_results import own_run

WRITES = """
import pathlib, sys
out = pathlib.Path(sys.argv[-1])
for file in (out, out.with_name(f"{out.stem}-scenes{out.suffix}")):
    file.write_text(sys.argv[1])
    print(f"{file} checked")
"""
REFUSES = "import sys; sys.exit('a warning\\nthe reason')"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(autouse=True)
def _folders(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    exports.in_background.clear()


@pytest.fixture
def command(monkeypatch):
    return lambda script: monkeypatch.setattr(exports, "COMMAND", (sys.executable, "-c", script))


@pytest.fixture
def page(app):
    return app.switch_page("pages/compare.py").run()


def click(page) -> Future:
    page.button(key="compare_start").click().run()
    assert not page.exception
    return page.session_state["compare_exported"][1]


def finish(page):
    click(page).exception(timeout=60)
    page.run()
    assert not page.exception
    return page


def test_files_come_with_the_output_of_the_command(page, keys, command):
    command(WRITES)
    page.selectbox(key="compare_export").set_value("faster_rcnn").run()
    page.radio(key="compare_format").set_value("pt2").run()
    finish(page)
    assert page.code[-1].value == "faster_rcnn.pt2 checked\nfaster_rcnn-scenes.pt2 checked"
    exported = page.session_state["compare_exported"][1].result()
    assert [file.name for file in exported.files] == ["faster_rcnn.pt2", "faster_rcnn-scenes.pt2"]
    assert exported.read(1) == str(MODELS["faster_rcnn"].checkpoint.resolve()).encode()


def test_own_run_is_exported(page, command):
    command(WRITES)
    run = own_run()
    page.run().selectbox(key="compare_export").set_value(run.id).run()
    finish(page)
    exported = page.session_state["compare_exported"][1].result()
    assert exported.files[0].name == f"{run.id}.onnx"
    assert exported.read(0) == str(run.path("best.safetensors").resolve()).encode()


def test_second_click_waits_for_the_same_file(page, command, tmp_path):
    go = tmp_path / "go"
    command(f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n{WRITES}")
    first = click(page)
    assert page.status[0].state == "running"
    assert click(page) is first
    go.touch()
    first.result(timeout=60)
    page.run()
    assert page.status[0].state == "complete"
    assert click(page) is first


@pytest.mark.parametrize(
    ("script", "message"),
    [(REFUSES, "the reason"), (DIES, exports.KILLED), ("raise SystemExit(3)", exports.SILENT.format(3))],
    ids=["refused", "killed", "silent"],
)
def test_failed_export_gives_its_reason_and_can_be_repeated(page, command, script, message):
    command(script)
    finish(page)
    assert [error.value.partition(": ")[2] for error in page.error] == [message]
    command(WRITES)
    finish(page)
    assert not page.error
    assert page.status[0].state == "complete"


def test_full_disk_gives_its_reason(page, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "TemporaryDirectory", full)
    finish(page)
    assert "No space left on device" in page.error[0].value


def test_export_is_stopped_after_its_time_limit(command, monkeypatch):
    command("import time; time.sleep(60)")
    monkeypatch.setattr(exports, "LONGEST", 0.2)
    with pytest.raises(RunError):
        exports.export("cnn", "onnx")


def test_files_are_deleted_with_their_last_reference(command):
    command(WRITES)
    exported = exports.export("cnn", "onnx")
    folder = Path(exported.folder.name)
    assert folder.is_dir()
    del exported
    assert not folder.exists()


@pytest.mark.slow
def test_real_export_answers_as_the_network():
    exported = exports.export("cnn", "safetensors")
    (file,) = exported.files
    digits = atelier.data.mnist.load("test")[0][:5]
    assert (atelier.load(file, "cpu").predict(digits) == atelier.load("cnn", "cpu").predict(digits)).all()
