"""The registry of networks: one entry here brings a network to the command line, to training and to every page.

A new network is one file in `models/` and one ModelSpec in MODELS. What other parts of the project need to know of it
hangs on its entry; each field after `presets` has a default that works for any classifier.
"""

import importlib
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import paths
from atelier.recipe import NO_AUGMENTATION, Recipe

if TYPE_CHECKING:
    from torch import nn


class Family(StrEnum):
    """Kinds of networks: a family is trained, explained and shown in the same way."""

    CONVOLUTIONAL = "convolutional"  # has `features`, a module of convolutions
    FINE_TUNED = "fine_tuned"  # as CONVOLUTIONAL; its first convolutions are pretrained and frozen
    DETECTOR = "detector"  # has `detect`, `losses` and `forward_stages`
    TRANSFORMER = "transformer"  # returns its attention

    @property
    def has_convolutions(self) -> bool:
        """Whether its feature maps and filters can be looked at one by one."""
        return self in (Family.CONVOLUTIONAL, Family.FINE_TUNED)


@dataclass(frozen=True)
class Size:
    """A size of a network that a person may change on the Train page; `name` is a field of the network's config."""

    name: str
    default: int | str  # as in the config
    label: str
    help: str
    choices: tuple[int | str, ...] = ()  # empty: any whole number
    step: int = 1


@dataclass(frozen=True)
class ModelSpec:
    """What the rest of the project needs to know of a network."""

    name: str  # as in the command line and in file names
    title: str  # as on the pages
    colour: str  # on every page and in every figure; colour-blind viewers can tell the five apart
    idea: str  # how it reads a digit, in a line
    paper: str
    network: str  # "module:class" and
    config: str  # the name of its frozen dataclass; imported on use, because PyTorch takes seconds to import
    presets: dict[str, Recipe]  # "demo": good within a minute or so; "full": how the shipped weights were trained
    family: Family | None = None  # None: explained by gradients alone, which work for every network
    sizes: tuple[Size, ...] = ()  # offered on the Train page
    recipe_fields: tuple[str, ...] = ()  # fields of Recipe that only networks of its kind use
    input_step: str = "Brightness 0 … 1"  # what its `forward` does beside its layers, in the architecture's table
    gradient_steps: tuple[int, int] = (2, 24)  # of integrated gradients: power of the path, and steps along it
    letters: tuple[int, Recipe] | None = None  # input size and recipe that pretrain its backbone, see `pretrain`

    @property
    def checkpoint(self) -> Path:
        """The weights that ship with the project."""
        return paths.CHECKPOINTS / f"{self.name}.safetensors"

    @property
    def backbone(self) -> Path:
        """The pretrained weights below these; only fine-tuned networks have such a file."""
        return paths.CHECKPOINTS / "backbones" / f"{self.name}.safetensors"

    @property
    def default_sizes(self) -> dict[str, Any]:
        """The sizes that the Train page offers, as they are by default."""
        return {size.name: size.default for size in self.sizes}

    def build(self, config: dict[str, Any] | None = None) -> "nn.Module":
        """A new network, untrained.

        Args:
            config: sizes by name that differ from the default.

        Raises:
            TypeError: for a size that it does not have.
            ValueError: for a size that cannot work.
        """
        module_name, class_name = self.network.split(":")
        module = importlib.import_module(module_name)
        return getattr(module, class_name)(getattr(module, self.config)(**(config or {})))


def of_family(*families: Family) -> list[str]:
    """Names of the networks of these families, in the registry's order."""
    return [spec.name for spec in MODELS.values() if spec.family in families]


def _backbone_sizes(convolutions: int, input_size: int) -> tuple[Size, ...]:
    return (
        Size(
            "backbone",
            "glyphs",
            "Pretrained on",
            "What its convolutions have learnt from: letters (glyphs, included), photographs (imagenet: some hundred "
            "MB, downloaded once when the run begins), or nothing (none: random weights).",
            ("glyphs", "imagenet", "none"),
        ),
        Size(
            "thawed",
            1,
            "Trained convolutions",
            f"How many of the {convolutions} convolutions are trained. Earlier layers stay frozen.",
        ),
        Size("input_size", input_size, "Input size", "Each digit is enlarged to this height and width in pixels."),
    )


_CNN = Recipe(epochs=12, optimizer="sgd", learning_rate=0.3, weight_decay=1e-3, ema_decay=0.995)
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
            presets={"demo": replace(_CNN, epochs=4, ema_decay=0.98), "full": _CNN},
            family=Family.CONVOLUTIONAL,
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
            family=Family.DETECTOR,
            input_step="Enlarge; at the end refine the boxes",
            recipe_fields=("digits_per_scene",),
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
            family=Family.FINE_TUNED,
            input_step="Enlarge, grey to three colours",
            sizes=_backbone_sizes(convolutions=13, input_size=48),
            recipe_fields=("variations",),
            gradient_steps=(2, 16),  # slow, and more steps change its picture little
            letters=(32, Recipe(epochs=7, learning_rate=2e-3, label_smoothing=0.1)),  # 48 pixels take twice as long
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
            family=Family.FINE_TUNED,
            input_step="Enlarge, grey to three colours",
            sizes=_backbone_sizes(convolutions=5, input_size=64),
            recipe_fields=("variations",),
            letters=(64, Recipe(epochs=30, learning_rate=2e-3, label_smoothing=0.1)),
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
            family=Family.TRANSFORMER,
            input_step="Cut into patches; class token, positions",
            sizes=(
                Size(
                    "patch_size",
                    4,
                    "Patch size",
                    "Height and width of a patch in pixels; a digit has 28.",
                    (2, 4, 7, 14),
                ),
                Size("depth", 6, "Depth", "How many blocks. In each block, every patch attends to all the others."),
                Size(
                    "heads",
                    4,
                    "Attention heads",
                    "How many heads each block has. They share the width equally.",
                ),
                Size("dim", 96, "Width (dim)", "How many numbers describe a patch.", step=4),
            ),
            gradient_steps=(4, 100),  # every picture gets the same contrast: nearly all happens close to black
        ),
    )
}
