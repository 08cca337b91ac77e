"""Pretraining of a backbone on letters: from font files to the backbone's file."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric

from atelier import checkpoint
from atelier.checkpoint import halve, load_weights
from atelier.data.glyphs import Glyphs
from atelier.runs.folder import Run, RunError, read_recipe
from atelier.runs.recorder import record
from atelier.runs.worker import supervise
from atelier.training.events import Event, Preparation
from atelier.training.letters import LetterNetwork
from atelier.training.session import Session
from atelier.training.setup import describe_environment
from atelier.zoo import MODELS

BACKBONE = "backbone.safetensors"  # in the run's folder


def new_config(architecture: str, glyphs: Glyphs, epochs: int | None, device: str) -> dict[str, Any]:
    """The `config.json` of a new pretraining.

    Raises:
        ValueError: if this machine does not have the device.
    """
    training, _ = glyphs.split()
    letters = MODELS[architecture].letters
    if letters is None:
        raise ValueError(f"{MODELS[architecture].title} has no backbone to pretrain. Choose a fine-tuned network.")
    input_size, recipe = letters
    return {
        "model": f"{architecture}-backbone",
        "network": {
            "architecture": architecture,
            "input_size": input_size,
            "letters": len(glyphs.characters),
        },
        "data": _fingerprint(glyphs),
        **describe_environment(
            replace(recipe, train_size=len(training.labels), epochs=recipe.epochs if epochs is None else epochs), device
        ),
    }


def pretrain(config: dict[str, Any], run: Run, glyphs: Glyphs) -> Iterator[Event | Preparation]:
    """Train on letters from the last checkpoint of `run` to its end; the backbone's file lies in its folder.

    Networks build on it when it lies in `backbones.BACKBONES` under the architecture's name.

    Raises:
        RunError: if the fonts draw other letters than at the run's start; else as `supervise`.
    """
    if _fingerprint(glyphs) != config["data"]:
        raise RunError(f"The fonts draw other letters than at the start of run {run.id}. Start a new run.")
    return supervise(run, config["device"], lambda: _pretrain(config, run, glyphs))


def _pretrain(config: dict[str, Any], run: Run, glyphs: Glyphs) -> Iterator[Event | Preparation]:
    recipe = read_recipe(config)
    fabric = Fabric(accelerator=config["device"], devices=1, precision=config["precision"])
    torch.manual_seed(recipe.seed)
    session = Session(LetterNetwork(**config["network"]), recipe, fabric)
    parts = [
        (torch.tensor(part.images, device=fabric.device), torch.tensor(part.labels, device=fabric.device))
        for part in glyphs.split()
    ]
    yield from record(session, config, run, True, *parts)
    tensors, best = checkpoint.load(run.path("best.safetensors"))
    load_weights(session.network, tensors)
    card = {
        "model": config["network"]["architecture"],
        "kind": "backbone",
        "source": "glyphs",
        "letters": "".join(glyphs.characters),
        "fonts": glyphs.fonts,
        **{key: best[key] for key in ("recipe", "device_name", "versions", "data", "validation_accuracy", "seconds")},
    }
    checkpoint.save(run.path(BACKBONE), halve(session.network.folded()), card)


def _fingerprint(glyphs: Glyphs) -> str:
    return hashlib.sha256(glyphs.images.tobytes() + glyphs.labels.tobytes()).hexdigest()[:16]
