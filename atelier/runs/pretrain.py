"""Pretrain the convolutions of VGG16 and AlexNet to tell letters apart, so that fine-tuning has something to build on.

The letters come from font files (see `atelier.data.glyphs`): many scripts, many fonts, never a digit. What the
convolutions learn from them, strokes, corners, loops and how these sit together, carries over to digits.

While they learn, a batch norm follows each convolution (Ioffe and Szegedy 2015, arXiv:1502.03167): VGG16 hardly starts
to learn without. In the end it is folded into the convolution's own weights, which leaves torchvision's plain
architecture with the same answers.
"""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atelier import checkpoint
from atelier.data.glyphs import Glyphs
from atelier.models.finetuned import load_features, to_pictures
from atelier.recipe import Recipe
from atelier.runs.folder import Run, RunError, read_recipe
from atelier.runs.recorder import circumstances, follow, halved
from atelier.runs.worker import attended
from atelier.training.events import Event
from atelier.training.loop import Session, load_weights

RECIPES = {
    "vgg16": Recipe(epochs=7, learning_rate=2e-3, label_smoothing=0.1),
    "alexnet": Recipe(epochs=30, learning_rate=2e-3, label_smoothing=0.1),
}
BACKBONE = "backbone.safetensors"  # in the run's folder
INPUT_SIZES = {"vgg16": 32, "alexnet": 64}  # pixels: at the 48 of fine-tuning, VGG16 would take twice as long


class LetterNetwork(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, letters]`."""

    def __init__(self, architecture: str, input_size: int, letters: int):
        super().__init__()
        self.input_size = input_size
        plain, _ = load_features(architecture, "none")
        layers: list[nn.Module] = []
        for layer in plain:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                layers.append(nn.BatchNorm2d(layer.out_channels))
                width = layer.out_channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, letters))

    def forward(self, glyphs: Tensor) -> Tensor:
        return self.head(self.features(to_pictures(glyphs, self.input_size)))

    def folded(self) -> dict[str, Tensor]:
        """The convolutions' weights as in torchvision's `features`, each batch norm folded into its convolution."""
        plain: list[nn.Module] = []
        for layer in copy.deepcopy(self.features).eval():
            if isinstance(layer, nn.BatchNorm2d):
                plain[-1] = fuse_conv_bn_eval(plain[-1], layer)
            else:
                plain.append(layer)
        return nn.Sequential(*plain).state_dict()


def new_config(architecture: str, glyphs: Glyphs, epochs: int | None, device: str) -> dict[str, Any]:
    """What `config.json` of a new pretraining says.

    Raises:
        ValueError: if this machine does not have the device.
    """
    training, _ = glyphs.split()
    recipe = RECIPES[architecture]
    return {
        "model": f"{architecture}-backbone",
        "network": {
            "architecture": architecture,
            "input_size": INPUT_SIZES[architecture],
            "letters": len(glyphs.characters),
        },
        "data": _fingerprint(glyphs),
        **circumstances(
            replace(recipe, train_size=len(training.labels), epochs=recipe.epochs if epochs is None else epochs), device
        ),
    }


def pretrain(config: dict[str, Any], run: Run, glyphs: Glyphs) -> Iterator[Event]:
    """Train on letters from where `run` stands to its end, and leave the backbone's file in its folder. Networks build
    on it once it lies in `backbones.BACKBONES` under the architecture's name.

    Raises:
        RunError: if the fonts here draw other letters than those that the run began with; else as `attended`.
    """
    if _fingerprint(glyphs) != config["data"]:
        raise RunError(f"The fonts here draw other letters than those that run {run.id} began with. Start a new run.")
    return attended(run, config["device"], lambda: _pretrain(config, run, glyphs))


def _pretrain(config: dict[str, Any], run: Run, glyphs: Glyphs) -> Iterator[Event]:
    recipe = read_recipe(config)
    fabric = Fabric(accelerator=config["device"], devices=1, precision=config["precision"])
    torch.manual_seed(recipe.seed)
    session = Session(LetterNetwork(**config["network"]), recipe, fabric)
    parts = [
        (torch.tensor(part.images, device=fabric.device), torch.tensor(part.labels, device=fabric.device))
        for part in glyphs.split()
    ]
    yield from follow(session, config, run, True, *parts)
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
    checkpoint.save(run.path(BACKBONE), halved(session.network.folded()), card)


def _fingerprint(glyphs: Glyphs) -> str:
    return hashlib.sha256(glyphs.images.tobytes() + glyphs.labels.tobytes()).hexdigest()[:16]
