"""A network as a file, from the Compare page. The command is replaced by fast ones, but for the last test."""

import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

import atelier
from atelier import paths
from atelier.runs.folder import Run, RunError
from atelier.studies import results
from pages.views.compare import exports

WRITES = """
import pathlib, sys
out = pathlib.Path(sys.argv[-1])
for file in (out, out.with_name(f"{out.stem}-scenes{out.suffix}")):
    file.write_text(sys.argv[1])
    print(f"{file} (0.1 MB): probabilities of 256 digits equal to 1e-07")
"""
REFUSES = "import sys; sys.exit('a warning\\nThis network could not be exported to onnx: no.')"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(autouse=True)
def _nothing_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    exports.begun.clear()


@pytest.fixture
def command(monkeypatch):
    return lambda script: monkeypatch.setattr(exports, "COMMAND", (sys.executable, "-c", script))


@pytest.fixture
def page(app):
    return app.switch_page("pages/compare.py").run()


def click(page) -> Future:
    page.button(key="compare_ask").click().run()
    assert not page.exception
    return page.session_state["compare_exported"][1]


def finish(page):
    click(page).exception(timeout=60)
    page.run()
    assert not page.exception
    return page


def test_files_come_with_what_the_check_found(page, command):
    command(WRITES)
    page.selectbox(key="compare_export").set_value("faster_rcnn").run()
    page.radio(key="compare_format").set_value("pt2").run()
    finish(page)
    assert page.status[0].label == "Faster R-CNN as pt2: written and checked"
    assert page.code[-1].value == (
        "faster_rcnn.pt2 (0.1 MB): probabilities of 256 digits equal to 1e-07\n"
        "faster_rcnn-scenes.pt2 (0.1 MB): probabilities of 256 digits equal to 1e-07"
    )
    exported = page.session_state["compare_exported"][1].result()
    assert [file.name for file in exported.files] == ["faster_rcnn.pt2", "faster_rcnn-scenes.pt2"]
    assert exported.read(1) == str(atelier.MODELS["faster_rcnn"].checkpoint.resolve()).encode()


def test_a_run_of_ones_own_is_exported(page, command):
    command(WRITES)
    run = Run.create(paths.RUNS, {"model": "cnn", "network": {}, "device_name": "2 CPU cores"})
    run.path("best.safetensors").write_bytes(b"weights")
    run.set_status("done")
    page.run().selectbox(key="compare_export").set_value(run.id).run()
    finish(page)
    exported = page.session_state["compare_exported"][1].result()
    assert exported.files[0].name == f"{run.id}.onnx"
    assert exported.read(0) == str(run.path("best.safetensors").resolve()).encode()


def test_while_it_is_exported_a_second_click_waits_for_the_same_file(page, command, tmp_path):
    command(
        f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)\n{WRITES}"
    )
    first = click(page)
    assert "it is written and checked" in page.status[0].label
    assert click(page) is first
    (tmp_path / "go").touch()
    first.result(timeout=60)
    page.run()
    assert page.status[0].state == "complete"
    assert click(page) is first  # there already


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (REFUSES, "CNN as onnx: This network could not be exported to onnx: no."),
        (DIES, "CNN as onnx: The process was killed, perhaps because the memory is full. Try again later."),
        ("raise SystemExit(3)", "CNN as onnx: The process failed without a word (exit status 3)."),
    ],
    ids=["refused", "killed", "silent"],
)
def test_what_fails_is_said_in_a_sentence_and_can_be_tried_again(page, command, script, sentence):
    command(script)
    finish(page)
    assert [error.value for error in page.error] == [sentence]
    command(WRITES)
    finish(page)
    assert not page.error
    assert page.status[0].state == "complete"


def test_a_full_disk_is_said(page, command, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "TemporaryDirectory", full)
    finish(page)
    assert [error.value for error in page.error] == ["CNN as onnx: No space left on device"]


def test_one_that_takes_too_long_is_given_up(command, monkeypatch):
    command("import time; time.sleep(60)")
    monkeypatch.setattr(exports, "LONGEST", 0.2)
    with pytest.raises(RunError, match="given up"):
        exports.export("cnn", "onnx")


def test_files_go_with_the_last_who_holds_them(command):
    command(WRITES)
    exported = exports.export("cnn", "onnx")
    folder = Path(exported.folder.name)
    assert folder.is_dir()
    del exported
    assert not folder.exists()


def test_the_commands_own_file_answers_as_the_network():
    exported = exports.export("cnn", "safetensors")
    (file,) = exported.files
    assert exported.told.startswith("cnn.safetensors (1.0 MB): probabilities of 256 digits equal to")
    digits = atelier.data.mnist.load("test")[0][:5]
    assert (atelier.load(file, "cpu").predict(digits) == atelier.load("cnn", "cpu").predict(digits)).all()
