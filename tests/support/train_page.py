"""Runs made by hand for the Train page, and its widgets by key. Nothing is trained."""

import re
from dataclasses import asdict, replace

import numpy as np

from atelier import MODELS, paths
from atelier.runs import jobs, snapshots
from atelier.runs.folder import Run
from pages.views.train import time_estimate

SPEED = {"train_digits_per_second": 1000.0, "frozen_digits_per_second": None, "predict_digits_per_second": 10_000.0}
THROUGHPUT = {"startup_seconds": 3.0, "networks": dict.fromkeys(MODELS, SPEED)}
SNAPSHOT = {
    "digits": np.zeros((12, 28, 28), np.uint8),
    "labels": np.arange(12) % 10,
    "probabilities": np.full((12, 10), 0.1, np.float32),
}


def without_processes(monkeypatch, folder) -> list[str]:
    """Keep runs in a folder and start no process; returns a list of the processes that would start."""
    launched = []
    monkeypatch.setattr(paths, "RUNS", folder)
    monkeypatch.setattr(jobs, "_launch", lambda run, model: launched.append(run.id))
    monkeypatch.setattr(jobs, "measure", lambda device: launched.append(device))
    monkeypatch.setattr(time_estimate, "device_type", lambda device: "cpu")
    monkeypatch.setattr(time_estimate, "load_throughput", lambda device: THROUGHPUT)
    time_estimate.start_measuring.clear()
    return launched


def fabricate(model="cnn", state="done", epochs=2, sizes=None, **changes) -> Run:
    """A run of a network's demo after some epochs; `changes` are fields of its recipe."""
    recipe = replace(MODELS[model].presets["demo"], **changes)
    config = {"model": model, "recipe": asdict(recipe), "network": sizes or {}, "device_name": "2 CPU cores"}
    run = Run.create(paths.RUNS, config)
    for half in range(1, 2 * epochs + 1):
        event = {"step": 10 * half, "epoch": half / 2, "seconds": 3.0 * half, "loss": 1 / half, "accuracy": 0.9}
        event |= {"learning_rate": 0.1, "images_per_second": 1000.0}
        run.append({"split": "train", **event})
        if half % 2 == 0:
            run.append({"split": "val", **event, "confusion": (np.eye(10, dtype=int) * 500).tolist()})
            run.path("best.safetensors").write_bytes(b"weights")
    snapshots.write(run, SNAPSHOT | {"filters": np.ones((16, 5, 5), np.float32)})
    if state == "done":
        run.write("result.json", {"accuracy": 0.9912, "seconds": 13.0})
    run.set_status(state)
    return run


def choose(page, *models):
    """Choose networks in the form."""
    page.pills(key="train_networks").set_value(list(models)).run()
    assert not page.exception


def press(page, key):
    page.button(key=key).click().run()
    assert not page.exception


def number(page, field):
    return page.number_input(key=field)


def enabled(page) -> set[str]:
    """The keys of all buttons that can be pressed."""
    buttons = [*page.button, *page.get("download_button")]
    return {re.sub(r".*-", "", button.proto.id) for button in buttons if not button.proto.disabled}


def run_state(page) -> str:
    """The state of the run on the page, one of STATES."""
    (state,) = re.findall(r'data-state="(\w+)"', " ".join(element.value for element in page.html))
    return state


def configs() -> dict[str, dict]:
    """The config of each run in the folder, by network."""
    return {run.read("config.json")["model"]: run.read("config.json") for run in Run.all(paths.RUNS)}
