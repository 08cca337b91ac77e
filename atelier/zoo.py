"""The registry of networks. Adding one here adds it to the command line, the tests and every page."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


@dataclass(frozen=True)
class ModelSpec:
    """What the rest of the project needs to know of a network."""

    name: str  # as in the command line and in file names
    title: str  # as on the pages
    colour: str  # on every page and in every figure; the five can be told apart by colour-blind viewers
    idea: str  # how it reads a digit, in a line
    paper: str
    network: str  # "module:class" and
    config: str  # the name of its frozen dataclass; imported on use, for PyTorch takes seconds to import
    presets: dict[str, Recipe]  # "demo": good within a minute or so; "full": how the shipped weights were trained

    @property
    def checkpoint(self) -> Path:
        """The weights that ship with the project."""
        return CHECKPOINTS / f"{self.name}.safetensors"

    def build(self, config: dict[str, Any] | None = None) -> "nn.Module":
        """A new network, untrained. `config` overrides sizes by name; TypeError for a name it does not have."""
        module_name, class_name = self.network.split(":")
        module = importlib.import_module(module_name)
        return getattr(module, class_name)(getattr(module, self.config)(**(config or {})))


_CNN = Recipe(epochs=20, optimizer="sgd", learning_rate=0.2, weight_decay=1e-3)

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="cnn",
            title="CNN",
            colour="#2E86D1",
            idea="Small filters slide over the picture, find strokes, then corners and loops, and vote.",
            paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
            network="atelier.models.cnn:CNN",
            config="CNNConfig",
            presets={"demo": replace(_CNN, epochs=5), "full": _CNN},
        ),
    )
}
