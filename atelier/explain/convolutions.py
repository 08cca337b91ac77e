"""Feature maps of convolutional networks: layer by layer, step by step, down to the arithmetic of a single value.

A layer is a convolution with the steps between it and the next one, in the network's own order. VGG16 and AlexNet
convolve, apply ReLU and sometimes pool; the CNN convolves, sometimes pools, normalises and applies ReLU.

    import atelier
    from atelier.explain import convolutions

    vgg16 = atelier.load("vgg16")
    layer = convolutions.layers(vgg16)[6]
    convolutions.activations(vgg16, digit, layer).maps["relu"]
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain.hooks import as_input, hookable_copy
from atelier.models.finetuned import load_features
from atelier.zoo import Family

STEPS = {nn.Conv2d: "convolution", nn.MaxPool2d: "pooling", nn.BatchNorm2d: "normalisation", nn.ReLU: "relu"}


@dataclass(frozen=True)
class Step:
    """A step of a layer, and where its maps lie on the digit.

    Receptive fields as in Dumoulin and Visin 2016 (arXiv:1603.07285).
    """

    kind: str  # one of STEPS
    name: str  # of its module in the network: "features.2.0"
    shape: tuple[int, int, int]  # channels, height and width of its output
    start: float  # centre of the first row and column, in pixels of the digit from its edge
    stride: float  # pixels of the digit from one row or column to the next
    field: float  # height and width of the receptive field of a value, in pixels of the digit

    @property
    def size(self) -> str:
        """The shape as text, such as "32 × 14 × 14"."""
        return " × ".join(map(str, self.shape))

    def receptive_field(self, row: int, column: int) -> tuple[float, ...]:
        """The part of the digit that a value depends on: left, top, right and bottom in pixels, 0 to 28."""
        x, y = (self.start + self.stride * index for index in (column, row))
        sides = (x - self.field / 2, y - self.field / 2, x + self.field / 2, y + self.field / 2)
        return tuple(min(max(side, 0.0), float(SIDE)) for side in sides)


@dataclass(frozen=True)
class Layer:
    """A convolution with the steps between it and the next one."""

    number: int  # from 1
    steps: tuple[Step, ...]  # the convolution first
    trained: bool  # on digits; otherwise frozen

    @property
    def convolution(self) -> Step:
        return self.steps[0]

    @property
    def title(self) -> str:
        return f"Convolution {self.number}"


@dataclass(frozen=True)
class Activations:
    """Feature maps of a layer for one digit."""

    maps: dict[str, np.ndarray]  # float32[C, h, w] after each step, by its kind
    order: np.ndarray  # int64[C]: the channels, highest standard deviation first


@dataclass(frozen=True)
class PixelArithmetic:
    """A value of a convolution: `products.sum() + rest + bias` equals `output`, except for rounding."""

    channels: np.ndarray  # int64[K]: the input maps with the largest sums of products, largest first
    windows: np.ndarray  # float32[K, h, w]: the values under the filter; 0 beyond the border
    filters: np.ndarray  # float32[K, h, w]: the weights
    rest: float  # sum of the products with the other input maps
    others: int  # number of the other input maps
    bias: float
    output: float  # of the layer itself

    @property
    def products(self) -> np.ndarray:
        return self.windows * self.filters


def layers(classifier: Classifier) -> list[Layer]:
    """The convolutional layers, first to last.

    Raises:
        TypeError: for a network without convolutional layers.
    """
    recorded = _record(classifier, np.zeros((SIDE, SIDE), np.uint8))
    config = classifier.network.config
    pixel = SIDE / getattr(config, "input_size", SIDE)  # fine-tuned networks enlarge the digit
    start, stride, field = pixel / 2, pixel, pixel
    grouped: list[list[Step]] = []
    for name, module in _steps(classifier.network):
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            size, jump, border = (_number(value) for value in (module.kernel_size, module.stride, module.padding))
            start += ((size - 1) / 2 - border) * stride
            field += (size - 1) * stride
            stride *= jump
        if isinstance(module, nn.Conv2d):
            grouped.append([])
        kind = next(kind for layer_class, kind in STEPS.items() if isinstance(module, layer_class))
        channels, height, width = recorded[name][1].shape
        grouped[-1].append(Step(kind, name, (channels, height, width), start, stride, field))
    return [
        Layer(number, tuple(steps), _module(classifier, steps[0]).weight.requires_grad)
        for number, steps in enumerate(grouped, start=1)
    ]


def activations(classifier: Classifier, digit: np.ndarray, layer: Layer) -> Activations:
    """Compute a layer's feature maps for a digit `uint8[28, 28]`, after each of its steps.

    Raises:
        TypeError: for a network without convolutional layers.
        ValueError: for a digit of another shape or type.
    """
    recorded = _record(classifier, digit)
    maps = {step.kind: recorded[step.name][1].float().cpu().numpy() for step in layer.steps}
    output = maps[layer.steps[-1].kind]  # the mean would put maps first that are bright where there is no ink
    return Activations(maps, np.argsort(-output.std((1, 2)), kind="stable"))


def filters(classifier: Classifier, layer: Layer) -> np.ndarray:
    """The weights of a layer's convolution: `float32[outputs, inputs, h, w]`."""
    return _module(classifier, layer.convolution).weight.detach().float().cpu().numpy().copy()


def pixel_arithmetic(
    classifier: Classifier, digit: np.ndarray, layer: Layer, channel: int, row: int, column: int, shown: int = 3
) -> PixelArithmetic:
    """Spell out the arithmetic of one value of a layer's convolution.

    Args:
        digit: `uint8[28, 28]`.
        channel, row, column: of the value in the output of the convolution, counted from 0.
        shown: number of input maps that are spelt out; the others are summed.

    Raises:
        IndexError: if there is no such value.
        TypeError: for a network without convolutional layers.
        ValueError: for a digit of another shape or type.
    """
    if not all(0 <= index < end for index, end in zip((channel, row, column), layer.convolution.shape, strict=True)):
        raise IndexError(f"{layer.title} has {layer.convolution.size} values, none at {channel}, {row}, {column}.")
    convolution = _module(classifier, layer.convolution)
    before, after = _record(classifier, digit)[layer.convolution.name]
    (height, width), (down, right), (above, beside) = convolution.kernel_size, convolution.stride, convolution.padding
    padded = F.pad(before, (beside, beside, above, above))
    window = padded[:, row * down : row * down + height, column * right : column * right + width]
    weights = convolution.weight.detach()[channel]
    sums = (window * weights).sum((1, 2))
    order = sums.abs().argsort(descending=True, stable=True)
    return PixelArithmetic(
        channels=order[:shown].cpu().numpy(),
        windows=window[order[:shown]].float().cpu().numpy(),
        filters=weights[order[:shown]].float().cpu().numpy(),
        rest=float(sums[order[shown:]].sum()),
        others=len(order[shown:]),
        bias=0.0 if convolution.bias is None else float(convolution.bias.detach()[channel]),
        output=float(after[channel, row, column]),
    )


def distance_from_pretrained(classifier: Classifier) -> dict[int, float]:
    """Measure how far fine-tuning has moved the filters: the L2 norm of the change over that of the pretrained filters.

    Returns:
        by number of the layer, for layers that are fine-tuned from a pretrained backbone; empty for other networks.

    Raises:
        BackboneError: if the pretrained weights are missing.
        TypeError: for a network without convolutional layers.
    """
    network, trained = classifier.network, [layer for layer in layers(classifier) if layer.trained]
    if classifier.spec.family is not Family.FINE_TUNED or network.config.backbone == "none" or not trained:
        return {}
    backbone, _ = load_features(network.architecture, network.config.backbone, network.config.fingerprint)
    distances = {}
    for layer in trained:
        before = backbone.get_submodule(layer.convolution.name.removeprefix("features.")).weight.detach()
        change = _module(classifier, layer.convolution).weight.detach().cpu() - before
        distances[layer.number] = float(change.norm() / before.norm())
    return distances


def _steps(network: Any) -> list[tuple[str, Any]]:
    """The steps in the order of computation, with their names in the network."""
    modules = network.features.named_modules(prefix="features")
    return [(name, module) for name, module in modules if isinstance(module, tuple(STEPS))]


def _record(classifier: Classifier, digit: np.ndarray) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of each step, `float[channels, height, width]`, by the step's name."""
    if not (classifier.spec.family and classifier.spec.family.has_convolutions):
        raise TypeError(f"The {classifier.spec.title} has no stack of convolutional layers.")
    network = hookable_copy(classifier.network)
    recorded: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in _steps(network):

        def keep(_: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            recorded[name] = inputs[0][0], output[0]

        module.register_forward_hook(keep)
    with torch.inference_mode():
        network(as_input(classifier, digit))
    return recorded


def _module(classifier: Classifier, step: Step) -> Any:
    return classifier.network.get_submodule(step.name)


def _number(sizes: Any) -> int:
    """A size that is the same for height and width."""
    return sizes if isinstance(sizes, int) else sizes[0]
