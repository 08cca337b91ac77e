"""Runs made by hand, and small ones to train."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from atelier import MODELS
from atelier.__main__ import main
from atelier.recipe import Recipe
from atelier.runs.folder import Run
from atelier.training.setup import new_config

DEMO = MODELS["cnn"].presets["demo"]
COUNTS = (np.eye(10, dtype=int) * 490 + 1).tolist()


def config(model="cnn", recipe=DEMO, **network):
    return {"model": model, "recipe": asdict(recipe), "network": network, "device_name": "2 CPU cores"}


def event(step, split="train", **changes):
    numbers = {"step": step, "epoch": step / 220, "seconds": step / 10, "loss": 0.5, "accuracy": 0.8}
    return {"split": split} | numbers | {"learning_rate": 0.1, "images_per_second": 2500.0} | changes


def stopped(folder: Path) -> Run:
    """A CNN's demo, stopped after two of four epochs."""
    run = Run.create(folder, config())
    for step, accuracy in ((110, 0.9), (220, 0.97), (330, 0.95), (440, 0.96)):
        run.append(event(step, accuracy=accuracy - 0.1))
        if step % 220 == 0:
            run.append(event(step, "val", accuracy=accuracy, confusion=COUNTS))
    run.path("best.safetensors").write_bytes(b"weights")
    run.set_status("stopped")
    return run


# Runs that train for a moment ----------------------------------------------------------------------------------------

TINY = Recipe(epochs=3, batch_size=100, train_size=2000, optimizer="sgd", learning_rate=0.1, validation_size=200)


def new_run(folder: Path, **changes) -> Run:
    """A queued run of a CNN; `changes` are fields of its recipe."""
    return Run.create(folder, new_config("cnn", replace(TINY, **changes), "cpu"))


def resume(run: Run) -> int:
    """Train a run to its end in this process; returns the exit code of the command line."""
    return main(["train", "cnn", "--resume", run.id, "--runs", str(run.folder.parent)])


def state(run: Run) -> str:
    return run.status()[0]
