"""The command line: run folders, printed JSON, and requests that are refused."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import atelier
from atelier.__main__ import main
from atelier.data import hands, mnist
from atelier.runs.folder import Run

ROOT = Path(__file__).parent.parent
TRAIN = ("train", "cnn", "--epochs", 2, "--train-size", 1000, "--seed", 3, "--device", "cpu", "--precision", "32-true")
MEASURED = ["accuracy", "macro_f1", "loss", "strokes_accuracy", "load_digits_accuracy", "map50", "map50_95"]


def command(*arguments) -> tuple[int, str]:
    """Run a command in this process: its exit code and its output."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = main([str(argument) for argument in arguments])
    return code, output.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    code, output = command(*TRAIN, "--tensorboard", "--runs", runs)
    assert code == 0
    return Run.open(runs, output.splitlines()[0])


def test_run_leaves_a_complete_folder(run):
    assert run.status() == ("done", "")
    config = run.read("config.json")
    assert (config["model"], config["recipe"]["epochs"], config["recipe"]["seed"]) == ("cnn", 2, 3)
    assert config["versions"].keys() >= {"python", "torch"}
    events = run.metrics()
    assert [e["split"] for e in events if e["split"] != "train"] == ["val", "val", "test"]
    assert all(0 <= e["accuracy"] <= 1 and e["seconds"] > 0 for e in events)
    result = run.read("result.json")
    assert result["accuracy"] == events[-1]["accuracy"]
    assert result.keys() >= {"accuracy", "macro_f1", "loss", "seconds"}


def test_weights_of_a_run_give_its_result(run):
    images, labels = mnist.load("test")
    classifier, accuracy = atelier.load(str(run.folder), "cpu"), run.read("result.json")["accuracy"]
    assert (classifier.predict(images) == labels).mean() == pytest.approx(accuracy, abs=2e-4)
    assert classifier.card["accuracy"] == accuracy
    assert atelier.load(str(run.path("last.safetensors")), "cpu").predict(images[:3]).shape == (3,)


def test_tensorboard_has_the_curves_of_the_run(run):
    curves = EventAccumulator(str(run.folder)).Reload()
    for split in ("train", "val", "test"):
        expected = [(e["step"], pytest.approx(e["loss"], rel=1e-5)) for e in run.metrics() if e["split"] == split]
        assert [(point.step, point.value) for point in curves.Scalars(f"loss/{split}")] == expected


def test_only_the_network_of_a_run_resumes_it(run):
    result = run.read("result.json")
    for other in (["train", "vit"], ["pretrain", "alexnet"]):
        assert command(*other, "--resume", run.id, "--runs", run.folder.parent)[0] == 2
    code, output = command("train", "cnn", "--resume", run.id, "--runs", run.folder.parent)
    assert (code, output.splitlines()[0]) == (0, run.id)
    assert run.status() == ("done", "")
    assert run.read("result.json") == result


def test_evaluate_prints_json(run, monkeypatch):
    few = {split: tuple(part[:100] for part in mnist.load(split)) for split in mnist.SPLITS}
    small_digits = tuple(part[:100] for part in hands.small_digits())
    monkeypatch.setattr(mnist, "load", few.get)
    monkeypatch.setattr(hands, "small_digits", lambda: small_digits)
    code, output = command("evaluate", run.folder, "--json")
    (measured,) = json.loads(output).values()
    assert (code, list(measured)) == (0, MEASURED)
    assert all(0 <= measured[name] <= 1 for name in MEASURED if name.endswith("accuracy"))
    assert measured["map50"] is measured["map50_95"] is None


def test_predict_prints_json(tmp_path):
    images, labels = mnist.load("test")
    picture = tmp_path / "digit.png"
    Image.fromarray(255 - images[0]).resize((280, 280), Image.Resampling.BICUBIC).save(picture)
    answers = json.loads(command("predict", picture, "--json")[1])
    assert answers.keys() == atelier.MODELS.keys()
    for answer in answers.values():
        assert answer["digit"] == labels[0]
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert len(command("predict", picture)[1].splitlines()) == len(atelier.MODELS)


@pytest.mark.slow
def test_commands_work_in_processes_of_their_own(tmp_path):
    def process(*arguments):
        line = [sys.executable, "-m", "atelier", *map(str, arguments)]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout

    run = Run.open(tmp_path, process(*TRAIN, "--runs", tmp_path).splitlines()[0])
    assert run.status() == ("done", "")
    results = json.loads(process("evaluate", "cnn", run.folder, "--json"))
    assert {name: list(values) for name, values in results.items()} == {"cnn": MEASURED, str(run.folder): MEASURED}
    assert results["cnn"]["accuracy"] >= 0.996
    assert results["cnn"]["strokes_accuracy"] >= 0.97
    milliseconds = json.loads(process("bench", "latency", "--json"))
    assert list(milliseconds) == [*atelier.MODELS, "sum"]
    assert milliseconds.pop("sum") == pytest.approx(sum(milliseconds.values()))


REFUSED = [
    (["predict", "nowhere.png"], "nowhere.png"),
    (["predict", "README.md"], "not an image"),
    (["evaluate", "rnn"], "'rnn'"),
    (["train", "cnn", "--epochs", "0"], "epoch"),
    (["train", "cnn", "--train-size", "100"], "batch"),
    (["train", "cnn", "--device", "tpu"], "'tpu'"),
    (["train", "cnn", "--resume", "yesterday"], "'yesterday'"),
    (["train", "cnn", "--backbone", "none"], "backbone"),
    (["train", "alexnet", "--imagenet-file", "README.md"], "README.md"),
    (["train", "alexnet", "--imagenet-file", "README.md", "--backbone", "none"], "--backbone"),
    (["pretrain", "alexnet", "--fonts", "atelier"], "apt-get"),
    (["study", "cost", "--into", "README.md/results"], "README.md/results"),
    (["study"], "leaderboard"),
]


@pytest.mark.parametrize(
    ("arguments", "reason"), REFUSED, ids=lambda value: "-".join(value) if isinstance(value, list) else ""
)
def test_request_that_cannot_be_fulfilled_gets_one_line(arguments, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    if arguments[0] in ("train", "study"):
        arguments = [*arguments, "--runs", str(tmp_path)]
    assert main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
