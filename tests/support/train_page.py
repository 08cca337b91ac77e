"""What a person does on the Train page and sees there, and runs made by hand for it: nothing is trained."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from atelier import MODELS, paths
from atelier.runs import jobs
from atelier.runs.folder import Run
from pages.views.train import recipe_form

SPEED = {"train_digits_per_second": 1000.0, "frozen_digits_per_second": None, "predict_digits_per_second": 10_000.0}
THROUGHPUT = {"startup_seconds": 3.0, "networks": dict.fromkeys(MODELS, SPEED)}


def without_processes(monkeypatch, folder: Path) -> list[str]:
    """Runs lie in a folder; no process is started. What would be is listed here."""
    launched = []
    monkeypatch.setattr(paths, "RUNS", folder)
    monkeypatch.setattr(jobs, "_launch", lambda run, model: launched.append(run.id))
    monkeypatch.setattr(jobs, "measure", lambda device: launched.append(device))
    monkeypatch.setattr(recipe_form, "place_of", lambda device: "cpu")
    monkeypatch.setattr(recipe_form, "load_throughput", lambda device: THROUGHPUT)
    recipe_form.measuring.clear()
    return launched


def fabricate(model="cnn", state="done", epochs=2, **changes):
    """A run of a network's demo that has learnt for some epochs."""
    recipe = replace(MODELS[model].presets["demo"], **changes)
    config = {"model": model, "recipe": asdict(recipe), "network": {}, "device_name": "2 CPU cores"}
    run = Run.create(paths.RUNS, config)
    for half in range(1, 2 * epochs + 1):
        told = {"step": 10 * half, "epoch": half / 2, "seconds": 3.0 * half, "loss": 1 / half, "accuracy": 0.9}
        told |= {"learning_rate": 0.1, "images_per_second": 1000.0}
        run.append({"split": "train", **told})
        if half % 2 == 0:
            run.append({"split": "val", **told, "confusion": (np.eye(10, dtype=int) * 500).tolist()})
            run.path("best.safetensors").write_bytes(b"weights")
    watch(run, np.ones((16, 5, 5), np.float32))
    if state == "done":
        run.write("result.json", {"accuracy": 0.9912, "seconds": 13.0})
    run.set_status(state)
    return run


def watch(run, filters):
    guesses = np.full((12, 10), 0.1, np.float32)
    with open(run.path("watch.npz"), "wb") as file:
        np.savez(
            file,
            digits=np.zeros((12, 28, 28), np.uint8),
            labels=np.arange(12) % 10,
            probabilities=guesses,
            filters=filters,
        )


def button(page, label):
    (found,) = [button for button in [*page.button, *page.get("download_button")] if button.label == label]
    return found


def press(page, label):
    button(page, label).click().run()
    assert not page.exception
    return page


def number(page, label):
    (found,) = [control for control in page.number_input if control.label == label]
    return found


def refusal(page):
    """The error on the page, as it is read."""
    return page.error[0].value.replace("\\", "")


def shown(page):
    """All sentences on the page."""
    elements = [*page.markdown, *page.error, *page.warning, *page.info, *page.caption, *page.toast, *page.html]
    return " ".join(element.value for element in elements)
