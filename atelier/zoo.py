"""The registry of networks. Adding one here adds it to the command line, the tests and every page."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import paths
from atelier.recipe import NO_AUGMENTATION, Recipe

if TYPE_CHECKING:
    from torch import nn


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
        return paths.CHECKPOINTS / f"{self.name}.safetensors"

    @property
    def backbone(self) -> Path:
        """The pretrained weights that these build on; only fine-tuned networks have such a file."""
        return paths.CHECKPOINTS / "backbones" / f"{self.name}.safetensors"

    def build(self, config: dict[str, Any] | None = None) -> "nn.Module":
        """A new network, untrained. `config` overrides sizes by name; TypeError for a name it does not have."""
        module_name, class_name = self.network.split(":")
        module = importlib.import_module(module_name)
        return getattr(module, class_name)(getattr(module, self.config)(**(config or {})))


_CNN = Recipe(epochs=12, optimizer="sgd", learning_rate=0.3, weight_decay=1e-3, averaging=0.995)
_FASTER_RCNN = Recipe(epochs=8, batch_size=60, learning_rate=1e-3, precision="32-true")  # bfloat16 is slower here
_VGG16 = Recipe(epochs=18, learning_rate=1e-3, label_smoothing=0.05, variations=6)
_ALEXNET = Recipe(epochs=18, learning_rate=1e-3, variations=6)
_VIT = Recipe(epochs=22, batch_size=200, optimizer="muon", learning_rate=4e-3, label_smoothing=0.05)

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
            presets={"demo": replace(_CNN, epochs=4, averaging=0.98), "full": _CNN},
        ),
        ModelSpec(
            name="faster_rcnn",
            title="Faster R-CNN",
            colour="#D55E00",
            idea="First proposes boxes where a digit may be, then says which digit is in each. It finds many at once.",
            paper="Ren et al. 2015, Faster R-CNN: Towards real-time object detection (arXiv:1506.01497)",
            network="atelier.models.faster_rcnn:FasterRCNN",
            config="FasterRCNNConfig",
            presets={
                "demo": replace(  # many small steps, on few digits as they are: all else learns too little in a minute
                    _FASTER_RCNN,
                    epochs=4,
                    batch_size=8,
                    learning_rate=6e-4,
                    train_size=1_600,
                    digits_per_scene=3,
                    validation_size=500,
                    augmentation=NO_AUGMENTATION,
                ),
                "full": _FASTER_RCNN,
            },
        ),
        ModelSpec(
            name="vgg16",
            title="VGG16",
            colour="#009E73",
            idea="Thirteen layers of small filters that have learnt to see on letters. Only the last learns digits.",
            paper="Simonyan and Zisserman 2014, Very deep convolutional networks (arXiv:1409.1556)",
            network="atelier.models.finetuned:VGG16",
            config="VGG16Config",
            presets={"demo": replace(_VGG16, epochs=8, train_size=10_000, variations=2), "full": _VGG16},
        ),
        ModelSpec(
            name="alexnet",
            title="AlexNet",
            colour="#E69F00",
            idea="Five layers, large filters first, that have learnt to see on letters. Only the last learns digits.",
            paper="Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks",
            network="atelier.models.finetuned:AlexNet",
            config="AlexNetConfig",
            presets={"demo": replace(_ALEXNET, epochs=8, train_size=20_000, variations=2), "full": _ALEXNET},
        ),
        ModelSpec(
            name="vit",
            title="ViT",
            colour="#CC79A7",
            idea="A Vision Transformer cuts the picture into patches and lets each look at all the others, in rounds.",
            paper="Dosovitskiy et al. 2020, An image is worth 16x16 words (arXiv:2010.11929)",
            network="atelier.models.vit:ViT",
            config="ViTConfig",
            presets={"demo": replace(_VIT, epochs=4, batch_size=100, train_size=15_000), "full": _VIT},
        ),
    )
}
