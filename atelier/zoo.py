"""The registry of networks: one entry adds a network to the command line, to training and to every page.

A new network is one file in `models/` and one ModelSpec in MODELS. The entry holds everything that other parts of the
project need to know about it; each field after `presets` has a default that works for any classifier.
"""

import importlib
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from atelier import paths
from atelier.recipe import NO_AUGMENTATION, Recipe


class Family(StrEnum):
    """Kinds of networks; the networks of a family are trained, explained and drawn in the same way."""

    CONVOLUTIONAL = "convolutional"  # has `features`, a module of convolutions
    FINE_TUNED = "fine_tuned"  # like CONVOLUTIONAL, with pretrained and frozen first convolutions
    DETECTOR = "detector"  # has `detect`, `losses` and `forward_stages`
    TRANSFORMER = "transformer"  # `forward` can return the attention

    @property
    def has_convolutions(self) -> bool:
        """Whether the networks have feature maps and filters."""
        return self in (Family.CONVOLUTIONAL, Family.FINE_TUNED)


@dataclass(frozen=True)
class Size:
    """A size of a network that the Train page offers."""

    name: str  # the field of the network's config
    default: int | str  # equal to the config's
    label: str
    help: str
    choices: tuple[int | str, ...] = ()  # empty: any whole number within the config's limits
    step: int = 1


@dataclass(frozen=True)
class ModelSpec:
    """A registered network."""

    name: str  # in the command line and in file names
    title: str  # on the pages
    colour: str  # on every page and in every figure; the colours differ for colour-blind viewers, too
    idea: str  # how it classifies a digit, in one or two short sentences
    paper: str
    network: str  # "module:class", imported on use, because PyTorch takes seconds to import
    config: str  # the class of its sizes, a frozen dataclass in the same module
    presets: dict[str, Recipe]  # "demo": good results in about a minute; "full": the recipe of the shipped weights
    family: Family | None = None  # None: a plain classifier, explained by gradients alone
    sizes: tuple[Size, ...] = ()  # that the Train page offers
    recipe_fields: tuple[str, ...] = ()  # fields of Recipe that only this kind of network uses
    input_step: str = "Brightness 0 … 1"  # the part of `forward` outside its layers, for the table of layers
    gradient_steps: tuple[int, int] = (2, 24)  # of integrated gradients: power of the path, and steps along it
    letters: tuple[int, Recipe] | None = None  # input size and recipe that pretrain its backbone, see `runs.pretrain`

    @property
    def checkpoint(self) -> Path:
        """The file of the shipped weights."""
        return paths.CHECKPOINTS / f"{self.name}.safetensors"

    @property
    def backbone(self) -> Path:
        """The file of the pretrained weights; only fine-tuned networks have one."""
        return paths.CHECKPOINTS / "backbones" / f"{self.name}.safetensors"

    @property
    def default_sizes(self) -> dict[str, Any]:
        """The defaults of the sizes that the Train page offers."""
        return {size.name: size.default for size in self.sizes}

    def build(self, config: dict[str, Any] | None = None) -> Any:  # an nn.Module with the methods of its family
        """Build an untrained network.

        Args:
            config: sizes that differ from the default, by name.

        Raises:
            TypeError: for an unknown size.
            ValueError: for a value outside the limits of a size.
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
            "Where the first weights come from. glyphs: letters, included. imagenet: photographs, downloaded once when "
            "the run starts. none: random weights.",
            ("glyphs", "imagenet", "none"),
        ),
        Size(
            "thawed",
            1,
            "Trained convolutions",
            f"How many of the {convolutions} convolutions are trained. Earlier layers stay frozen.",
        ),
        Size("input_size", input_size, "Input size", "Digits are enlarged to this height and width in pixels."),
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
            idea="Small filters slide over the picture and find strokes, then corners and loops.",
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
            idea="It proposes boxes that may contain a digit, then classifies each box. It finds many digits at once.",
            paper="Ren et al. 2015, Faster R-CNN: Towards real-time object detection (arXiv:1506.01497)",
            network="atelier.models.faster_rcnn:FasterRCNN",
            config="FasterRCNNConfig",
            presets={
                "demo": replace(  # many small steps with few digits, without augmentation: the best found in a minute
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
            idea="Thirteen layers of small filters, pretrained on letters. Only the last layer learns digits.",
            paper="Simonyan and Zisserman 2014, Very deep convolutional networks (arXiv:1409.1556)",
            network="atelier.models.finetuned:VGG16",
            config="VGG16Config",
            presets={"demo": replace(_VGG16, epochs=8, train_size=10_000, variations=2), "full": _VGG16},
            family=Family.FINE_TUNED,
            input_step="Enlarge, grey to three colours",
            sizes=_backbone_sizes(convolutions=13, input_size=48),
            recipe_fields=("variations",),
            gradient_steps=(2, 16),  # more steps take long and change little
            letters=(32, Recipe(epochs=7, learning_rate=2e-3, label_smoothing=0.1)),  # 48 pixels take twice as long
        ),
        ModelSpec(
            name="alexnet",
            title="AlexNet",
            colour="#E69F00",
            idea="Five layers, pretrained on letters, with large filters first. Only the last layer learns digits.",
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
            idea="A Vision Transformer cuts the picture into patches. In each block, patches attend to each other.",
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
                    "Height and width of a patch in pixels. A digit has 28 × 28 pixels.",
                    (2, 4, 7, 14),
                ),
                Size("depth", 6, "Depth", "Number of blocks. In each block, every patch attends to all others."),
                Size("heads", 4, "Attention heads", "Number of heads in each block. They share the width equally."),
                Size("dim", 96, "Width (dim)", "Numbers that describe each patch.", step=4),
            ),
            gradient_steps=(4, 100),  # it standardises contrast, so that most changes happen close to black
        ),
    )
}
