"""What the convolutions of the CNN, VGG16 and AlexNet find in a digit: layer by layer, step by step, down to the
arithmetic of a single number.

A layer is a convolution with the steps between it and the next one, in the network's own order: VGG16 and AlexNet
convolve, rectify (ReLU) and sometimes pool; the CNN convolves, sometimes pools, normalises and rectifies.

    import atelier
    from atelier.explain import features

    vgg16 = atelier.load("vgg16")
    layer = features.layers(vgg16)[6]
    features.look(vgg16, digit, layer).maps["relu"]
"""

from dataclasses import dataclass

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
    """One step of a layer, and where its maps lie on the digit (receptive fields as in Dumoulin and Visin 2016,
    arXiv:1603.07285)."""

    kind: str  # one of STEPS
    name: str  # of its module in the network: "features.2.0"
    shape: tuple[int, int, int]  # channels, height and width of what it gives
    start: float  # centre of the first row and column, in pixels of the digit from its edge
    stride: float  # pixels of the digit from one row or column to the next
    field: float  # pixels of the digit, in height and in width, that decide on one number

    @property
    def size(self) -> str:
        """As it is written: "32 × 14 × 14"."""
        return " × ".join(map(str, self.shape))

    def sees(self, row: int, column: int) -> tuple[float, float, float, float]:
        """The part of the digit that decides on a number: left, top, right and bottom in pixels, 0 to 28."""
        x, y = (self.start + self.stride * at for at in (column, row))
        sides = (x - self.field / 2, y - self.field / 2, x + self.field / 2, y + self.field / 2)
        return tuple(min(max(side, 0.0), float(SIDE)) for side in sides)


@dataclass(frozen=True)
class Layer:
    """A convolution, and the steps between it and the next one."""

    number: int  # from 1
    steps: tuple[Step, ...]  # the convolution first
    trained: bool  # on digits; a frozen one is as it came

    @property
    def convolution(self) -> Step:
        return self.steps[0]

    @property
    def title(self) -> str:
        return f"Convolution {self.number}"


@dataclass(frozen=True)
class Maps:
    """What a layer finds in a digit."""

    maps: dict[str, np.ndarray]  # float32[C, h, w] after each step, by its kind
    order: np.ndarray  # int64[C]: the channels, strongest first: those whose numbers differ most from place to place


@dataclass(frozen=True)
class PixelArithmetic:
    """One number of a convolution: `products.sum() + rest + bias` is `output`, but for rounding."""

    channels: np.ndarray  # int64[K]: the input maps whose products weigh most, heaviest first
    windows: np.ndarray  # float32[K, h, w]: what the filter covers of them; 0 beyond the border
    filters: np.ndarray  # float32[K, h, w]: the weights for them
    rest: float  # sum of the products with the other input maps,
    others: int  # of which there are so many
    bias: float
    output: float  # as the layer itself gives it

    @property
    def products(self) -> np.ndarray:
        return self.windows * self.filters


def layers(classifier: Classifier) -> list[Layer]:
    """The convolutional layers, first to last.

    Raises:
        TypeError: for the Vision Transformer and Faster R-CNN.
    """
    seen = _record(classifier, np.zeros((SIDE, SIDE), np.uint8))
    config = classifier.network.config
    pixel = SIDE / getattr(config, "input_size", SIDE)  # VGG16 and AlexNet enlarge the digit
    start, stride, field = pixel / 2, pixel, pixel
    found: list[list[Step]] = []
    for name, module in _steps(classifier.network):
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            size, jump, border = (_number(value) for value in (module.kernel_size, module.stride, module.padding))
            start += ((size - 1) / 2 - border) * stride
            field += (size - 1) * stride
            stride *= jump
        if isinstance(module, nn.Conv2d):
            found.append([])
        kind = next(kind for layer_class, kind in STEPS.items() if isinstance(module, layer_class))
        found[-1].append(Step(kind, name, tuple(seen[name][1].shape), start, stride, field))
    return [
        Layer(number, tuple(steps), _module(classifier, steps[0]).weight.requires_grad)
        for number, steps in enumerate(found, start=1)
    ]


def look(classifier: Classifier, digit: np.ndarray, layer: Layer) -> Maps:
    """What a layer finds in a digit `uint8[28, 28]`, after each of its steps.

    Raises:
        TypeError: for the Vision Transformer and Faster R-CNN.
        ValueError: for a digit of another shape or type.
    """
    seen = _record(classifier, digit)
    maps = {step.kind: seen[step.name][1].float().cpu().numpy() for step in layer.steps}
    handed_on = maps[layer.steps[-1].kind]  # by their mean, maps would come first that glow where there is no ink
    return Maps(maps, np.argsort(-handed_on.std((1, 2)), kind="stable"))


def filters(classifier: Classifier, layer: Layer) -> np.ndarray:
    """The weights of a layer's convolution: `float32[outputs, inputs, h, w]`."""
    return _module(classifier, layer.convolution).weight.detach().float().cpu().numpy().copy()


def pixel_arithmetic(
    classifier: Classifier, digit: np.ndarray, layer: Layer, channel: int, row: int, column: int, shown: int = 3
) -> PixelArithmetic:
    """How a layer's convolution arrives at one number.

    Args:
        digit: `uint8[28, 28]`.
        channel, row, column: of the number in what the convolution gives, counted from 0.
        shown: input maps that are spelt out; the others are summed.

    Raises:
        IndexError: if there is no such number.
        TypeError: for the Vision Transformer and Faster R-CNN.
        ValueError: for a digit of another shape or type.
    """
    if not all(0 <= at < end for at, end in zip((channel, row, column), layer.convolution.shape, strict=True)):
        raise IndexError(f"{layer.title} has {layer.convolution.size} numbers, none at {channel}, {row}, {column}.")
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


def moved(classifier: Classifier) -> dict[int, float]:
    """How far the filters of retrained layers have moved from their pretrained weights: the length (L2 norm) of the
    change, as a share of the length of what they were.

    Returns:
        by number of the layer, only for layers that were retrained from weights that are known: none of the CNN, none
        without a backbone.

    Raises:
        BackboneError: if the pretrained weights are not there any more.
        TypeError: for the Vision Transformer and Faster R-CNN.
    """
    network, retrained = classifier.network, [layer for layer in layers(classifier) if layer.trained]
    if classifier.spec.family is not Family.FINE_TUNED or network.config.backbone == "none" or not retrained:
        return {}
    backbone, _ = load_features(network.architecture, network.config.backbone, network.config.fingerprint)
    distances = {}
    for layer in retrained:
        before = backbone.get_submodule(layer.convolution.name.removeprefix("features.")).weight.detach()
        change = _module(classifier, layer.convolution).weight.detach().cpu() - before
        distances[layer.number] = float(change.norm() / before.norm())
    return distances


def _steps(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The steps that a digit passes, in order, with their names in the network."""
    modules = network.features.named_modules(prefix="features")
    return [(name, module) for name, module in modules if isinstance(module, tuple(STEPS))]


def _record(classifier: Classifier, digit: np.ndarray) -> dict[str, tuple[Tensor, Tensor]]:
    """What goes into each step and what comes out of it, `float[channels, height, width]`, by the step's name."""
    if not (classifier.spec.family and classifier.spec.family.has_convolutions):
        raise TypeError(f"The {classifier.spec.title} is not a stack of convolutional layers.")
    network, seen = hookable_copy(classifier.network), {}
    for name, module in _steps(network):

        def keep(_: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            seen[name] = inputs[0][0], output[0]

        module.register_forward_hook(keep)
    with torch.inference_mode():
        network(as_input(classifier, digit))
    return seen


def _module(classifier: Classifier, step: Step) -> nn.Module:
    return classifier.network.get_submodule(step.name)


def _number(sizes: int | tuple[int, int]) -> int:
    """Height and width are the same in all these networks."""
    return sizes if isinstance(sizes, int) else sizes[0]
