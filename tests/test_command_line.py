"""The command line as a person or another program uses it: real processes, real files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import atelier
from atelier.__main__ import main
from atelier.data import mnist
from atelier.runs.folder import Run

ROOT = Path(__file__).parent.parent
SMALL = ["--device", "cpu", "--precision", "32-true"]


def atelier_command(*arguments, **options):
    command = [sys.executable, "-m", "atelier", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    done = atelier_command("train", "cnn", "--epochs", 2, "--train-size", 2000, "--seed", 3, "--runs", runs, *SMALL)
    assert done.returncode == 0, done.stderr
    return Run.open(runs, done.stdout.splitlines()[0])


def test_a_run_leaves_a_complete_folder(run):
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


def test_its_weights_can_be_used_and_know_their_result(run):
    images, labels = mnist.load("test")
    classifier = atelier.load(str(run.folder), "cpu")
    assert (classifier.predict(images) == labels).mean() == pytest.approx(run.read("result.json")["accuracy"], abs=2e-4)
    assert classifier.card["accuracy"] == run.read("result.json")["accuracy"]
    assert atelier.load(str(run.path("last.safetensors")), "cpu").predict(images[:3]).shape == (3,)


def test_only_the_network_of_a_run_resumes_it(run, capsys):
    for other in (["train", "vit"], ["pretrain", "alexnet"]):
        assert main([*other, "--resume", run.id, "--runs", str(run.folder.parent)]) == 2
        assert "trains cnn, not" in capsys.readouterr().err
    result = run.read("result.json")
    again = atelier_command("train", "cnn", "--resume", run.id, "--runs", run.folder.parent)
    assert again.returncode == 0  # nothing left to do, nothing broken
    assert again.stdout.splitlines()[0] == run.id
    assert run.status() == ("done", "")
    assert run.read("result.json") == result


def test_tensorboard_gets_the_curves_of_the_run(tmp_path):
    done = atelier_command(
        "train", "cnn", "--epochs", 1, "--train-size", 1000, "--runs", tmp_path, "--tensorboard", *SMALL
    )
    run = Run.open(tmp_path, done.stdout.splitlines()[0])
    curves = EventAccumulator(str(run.folder)).Reload()
    for split in ("train", "val", "test"):
        expected = [(e["step"], e["loss"]) for e in run.metrics() if e["split"] == split]
        assert [(point.step, point.value) for point in curves.Scalars(f"loss/{split}")] == [
            (step, pytest.approx(loss, rel=1e-5)) for step, loss in expected
        ]


def test_evaluate_prints_the_promised_numbers(run):
    done = atelier_command("evaluate", "cnn", run.folder, "--json")
    results = json.loads(done.stdout)
    assert list(results) == ["cnn", str(run.folder)]
    shipped = results["cnn"]
    names = ["accuracy", "macro_f1", "loss", "strokes_accuracy", "load_digits_accuracy", "map50", "map50_95"]
    assert list(shipped) == names
    assert shipped["accuracy"] >= 0.996
    assert 0.97 <= shipped["strokes_accuracy"] <= 1
    assert 0 < shipped["load_digits_accuracy"] <= 1
    assert shipped["map50"] is shipped["map50_95"] is None


def test_bench_prints_the_latency_of_each_network_and_the_sum():
    milliseconds = json.loads(atelier_command("bench", "latency", "--json").stdout)
    assert list(milliseconds) == [*atelier.MODELS, "sum"]
    assert milliseconds.pop("sum") == pytest.approx(sum(milliseconds.values()))
    assert all(value > 0 for value in milliseconds.values())


def test_predict_reads_a_picture(tmp_path, capsys):
    images, labels = mnist.load("test")
    picture = tmp_path / "digit.png"
    Image.fromarray(255 - images[0]).resize((280, 280), Image.Resampling.BICUBIC).save(picture)
    answers = json.loads(atelier_command("predict", picture, "--json").stdout)
    assert answers.keys() == atelier.MODELS.keys()
    for answer in answers.values():
        assert answer["digit"] == labels[0]
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert main(["predict", str(picture)]) == 0
    assert "cnn" in capsys.readouterr().out


REFUSED = [
    (["predict", "nowhere.png"], "nowhere.png"),
    (["predict", "README.md"], "not an image"),
    (["evaluate", "rnn"], "no network"),
    (["train", "cnn", "--epochs", "0"], "at least 1 epoch"),
    (["train", "cnn", "--train-size", "100"], "A batch holds"),
    (["train", "cnn", "--device", "tpu"], "no device 'tpu'"),
    (["train", "cnn", "--resume", "yesterday"], "no run 'yesterday'"),
    (["train", "cnn", "--backbone", "none"], "CNN cannot be changed in backbone"),
    (["train", "alexnet", "--imagenet-file", "README.md"], "is not torchvision's"),
    (["train", "alexnet", "--imagenet-file", "README.md", "--backbone", "none"], "goes with --backbone imagenet"),
    (["pretrain", "alexnet", "--fonts", "atelier"], "too few fonts"),
    (["study", "cost", "--into", "README.md/results"], "README.md/results cannot be made"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_done_gets_a_sentence_not_a_traceback(arguments, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    if arguments[0] in ("train", "study"):
        arguments = [*arguments, "--runs", str(tmp_path)]
    assert main(arguments) in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
