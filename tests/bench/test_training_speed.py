import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from atelier.bench import training_speed
from atelier.bench.baseline import DigitDataset, new_network, train_baseline
from atelier.data import mnist
from atelier.runs.folder import RunError

CPU = torch.device("cpu")
COLUMNS = ["what", "network", "preset", "seed", "seconds", "accuracy", "device", "threads", "torch", "date"]


def test_baseline_is_the_network_of_pytorchs_example():
    assert sum(parameter.numel() for parameter in new_network().parameters()) == 1_199_882  # as published
    assert new_network()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_baseline_normalises_digits():
    images = np.array([np.zeros((28, 28)), np.full((28, 28), 255)], np.uint8)
    (black, label), (white, _) = DigitDataset(images, np.array([3, 4]))
    assert black.shape == (1, 28, 28)
    assert label == 3
    assert black.numpy() == pytest.approx(-0.1307 / 0.3081)
    assert white.numpy() == pytest.approx((1 - 0.1307) / 0.3081)


def test_baseline_learns_and_validates_after_every_epoch():
    (images, labels), (val_images, val_labels) = mnist.load("train"), mnist.load("val")
    training, validation = DigitDataset(images[:640], labels[:640]), DigitDataset(val_images[:500], val_labels[:500])
    (first, second) = train_baseline(training, validation, 0, CPU, epochs=2)
    assert 0 < first[0] < second[0]
    assert (first[1], second[1]) == (1, 2)
    assert second[2] > 0.5  # guessing: 0.1


def test_sprint_yields_what_the_baseline_yields(monkeypatch):
    sprint = replace(training_speed.SPRINT, epochs=2, train_size=2000, batch_size=50)
    monkeypatch.setattr(training_speed, "SPRINT", sprint)
    training, validation = (tuple(torch.tensor(p[:2000]) for p in mnist.load(s)) for s in ("train", "val"))
    (first, second) = training_speed.train_sprint(training, validation, 0, CPU)
    assert 0 < first[0] < second[0]
    assert (first[1], second[1]) == (1, 2)
    assert second[2] > 0.5


def test_clock_stops_at_the_first_validation_of_99_percent():
    validations = iter([(1.5, 1, 0.98), (3.0, 2, 0.99), (4.5, 3, 0.995)])
    measured = training_speed.race("cnn", "sprint", 7, validations)
    assert (measured["seconds"], measured["accuracy"], measured["seed"]) == (3.0, 0.99, 7)
    assert next(validations)[1] == 3  # not consumed
    assert training_speed.race("cnn", "sprint", 7, [(1.5, 1, 0.98)])["seconds"] == float("inf")


def test_each_run_is_a_process_with_an_empty_cache(monkeypatch, tmp_path):
    caches = []

    def process(command, env, **_):
        assert command[1:6] == ["-m", "atelier", "train", "vit", "--preset"]
        caches.append(Path(env["XDG_CACHE_HOME"]))
        assert not caches[-1].exists()
        caches[-1].mkdir()
        run = Path(command[command.index("--runs") + 1]) / "run-1"
        run.mkdir(parents=True)
        run.joinpath("config.json").write_text("{}")
        run.joinpath("result.json").write_text(json.dumps({"accuracy": 0.97}))
        return subprocess.CompletedProcess(command, 0, stdout="run-1\n  val  epoch   1\n")

    monkeypatch.setattr(subprocess, "run", process)
    measured = list(training_speed.start_to_result(["vit"], CPU, 2, tmp_path))
    assert [(m["preset"], m["seed"], m["accuracy"]) for m in measured] == [
        ("demo", 0, 0.97),
        ("demo", 1, 0.97),
        ("full", 0, 0.97),
        ("full", 1, 0.97),
    ]
    assert len(set(caches)) == 4
    assert not list(tmp_path.iterdir())


def test_failed_run_ends_the_benchmark(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1, stdout="run-1\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RunError):
        list(training_speed.start_to_result(["vit"], CPU, 1, tmp_path))


def test_fewer_than_one_measurement_is_refused(tmp_path):
    with pytest.raises(RunError):
        training_speed.bench_training(["cnn"], "cpu", 0, tmp_path / "bench.csv")


def test_csv_keeps_the_measurements_before_an_interruption(monkeypatch, tmp_path):
    numbers = {"seconds": 12.5, "accuracy": 0.975}

    def interrupted(*_):
        for seed in range(2):
            yield {"what": "start to result", "network": "vit", "preset": "demo", "seed": seed} | numbers
        raise KeyboardInterrupt

    monkeypatch.setattr(training_speed, "start_to_result", interrupted)
    file = tmp_path / "new" / "bench.csv"
    for _ in range(2):  # the second time continues the file
        with pytest.raises(KeyboardInterrupt):
            training_speed.bench_training(["vit"], "cpu", 3, file)
    written = pd.read_csv(file)
    assert written.columns.tolist() == COLUMNS
    assert written["seed"].tolist() == [0, 1, 0, 1]
    assert written["torch"].tolist() == [torch.__version__] * 4


MEASURED = """what,network,preset,seed,seconds,accuracy
seconds to 99.0%,baseline,example,0,100.0,0.9910
seconds to 99.0%,cnn,sprint,0,9.0,0.9902
seconds to 99.0%,baseline,example,1,300.0,0.9906
seconds to 99.0%,cnn,sprint,1,10.0,0.9912
seconds to 99.0%,baseline,example,2,200.0,0.9904
seconds to 99.0%,cnn,sprint,2,inf,0.9890
start to result,cnn,demo,0,31.0,0.9930
"""


def test_table_has_medians_and_the_speed_up():
    table = training_speed.table(pd.read_csv(io.StringIO(MEASURED)))
    rows = [" ".join(line.split()) for line in table.splitlines()]
    assert rows[1] == "seconds to 99.0% baseline example 3 200.0 99.06% 1.0 x baseline"
    assert rows[2] == "seconds to 99.0% cnn sprint 3 10.0 99.02% 20.0 x baseline"
    assert rows[3] == "start to result cnn demo 1 31.0 99.30%"
