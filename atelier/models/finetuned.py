"""VGG16 and AlexNet, fine-tuned: pretrained networks that learn digits.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks" (NeurIPS), here
in torchvision's slimmer form of Krizhevsky 2014 (arXiv:1404.5997). Simonyan and Zisserman 2014, "Very deep
convolutional networks for large-scale image recognition" (arXiv:1409.1556). How well features transfer between tasks:
Yosinski et al. 2014 (arXiv:1411.1792).

The convolutions are torchvision's own, with weights from `backbones.py`. They fall into two parts:

    digits --extract_features--> features --classify--> logits

`extract_features` is frozen: its weights do not change, so the features of a picture are computed only once. `classify`
is trained: the last convolutions, as many as the config says, and a new head with one logit for each digit.
"""

import reprlib
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from atelier.models import backbones
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import Config, choice, number

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's weights expect


@dataclass(frozen=True)
class FineTunedConfig(Config):
    input_size: int = number(64, 63, 224)  # pixels: digits are enlarged to this height and width
    backbone: str = choice("glyphs", ("glyphs", "imagenet", "none"))  # where the weights come from, see `backbones.py`
    fingerprint: str = ""  # of these weights; "" accepts any, and the network fills it in
    thawed: int = number(1, 0, 5)  # how many of the last convolutions are trained; the others stay frozen
    hidden: int = number(256, 1, 4096)  # width of the head
    dropout: float = number(0.2, 0, 0.99)  # share of the head's values that training sets to zero at random

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.fingerprint, str) or len(self.fingerprint) not in (0, 16):
            raise ValueError(f"fingerprint must be 16 characters, or none, not {reprlib.repr(self.fingerprint)}.")


@dataclass(frozen=True)
class AlexNetConfig(FineTunedConfig):
    pass


@dataclass(frozen=True)
class VGG16Config(FineTunedConfig):
    input_size: int = number(48, 32, 224)
    thawed: int = number(1, 0, 13)


class MatrixConv2d(nn.Conv2d):
    """A 3 x 3 convolution that trains on small maps as one matrix product.

    The nine neighbours of each place form a row, multiplied by the filters. On 3 x 3 maps, a CPU needs a third of the
    time.
    """

    LARGEST_MAP = 16  # places

    def forward(self, maps: Tensor) -> Tensor:
        h, w = maps.shape[2:]
        if not self.training or h * w > self.LARGEST_MAP:
            return super().forward(maps)
        padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # (N, H + 2, W + 2, C)
        neighbours = [padded[:, y : y + h, x : x + w] for y in range(3) for x in range(3)]  # (N, H, W, C) each
        rows, filters = torch.cat(neighbours, dim=-1), self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(rows, filters, self.bias).permute(0, 3, 1, 2)  # (N, filters, H, W)


class FineTuned(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`.

    Raises:
        BackboneError: if the backbone's weights are missing, or have another fingerprint than the config's.
    """

    architecture: str  # torchvision's name

    def __init__(self, config: FineTunedConfig):
        super().__init__()
        self.features, fingerprint = load_features(self.architecture, config.backbone, config.fingerprint)
        self.config = replace(config, fingerprint=fingerprint)
        convolutions = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.Conv2d)]
        self.first_thawed = [*convolutions, len(self.features)][len(convolutions) - config.thawed]
        self.features[: self.first_thawed].requires_grad_(False)
        for index in range(self.first_thawed, len(self.features)):
            self.features[index] = fast_on_small_maps(self.features[index])
        *_, last = (layer for layer in self.features if isinstance(layer, nn.Conv2d))
        width = last.out_channels
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (N, width, 1, 1)
            nn.Flatten(),  # (N, width)
            nn.Linear(width, config.hidden),  # (N, hidden)
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 10),  # (N, 10)
        )

    def forward(self, digits: Tensor) -> Tensor:
        return self.classify(self.extract_features(digits))

    def extract_features(self, digits: Tensor) -> Tensor:
        """The frozen part: digits as `forward` takes them, to features `float[N, C, H, W]`."""
        return self.features[: self.first_thawed](to_pictures(digits, self.config.input_size))

    def classify(self, features: Tensor) -> Tensor:
        """The trained part: features to `logits float[N, 10]`."""
        return self.head(self.features[self.first_thawed :](features))

    def frozen(self) -> list[Tensor]:
        """The frozen weights, in order."""
        return [parameter for parameter in self.parameters() if not parameter.requires_grad]

    def borrowed(self) -> set[str]:
        """Names of the weights that the backbone's file stores, and a checkpoint does not."""
        if self.config.backbone == "none":
            return set()
        return {name for name, parameter in self.named_parameters() if not parameter.requires_grad}


class AlexNet(FineTuned):
    """Five convolutions, the first of 11 x 11; in 2012 it made deep learning famous."""

    architecture = "alexnet"

    def __init__(self, config: AlexNetConfig = AlexNetConfig()):
        super().__init__(config)


class VGG16(FineTuned):
    """Thirteen convolutions of 3 x 3: small filters, great depth."""

    architecture = "vgg16"

    def __init__(self, config: VGG16Config = VGG16Config()):
        super().__init__(config)


def fast_on_small_maps(layer: nn.Module) -> nn.Module:
    """Replace a 3 x 3 convolution by a MatrixConv2d with the same weights; other layers stay."""
    if not isinstance(layer, nn.Conv2d) or (layer.kernel_size, layer.stride, layer.padding) != ((3, 3), (1, 1), (1, 1)):
        return layer
    fast = MatrixConv2d(layer.in_channels, layer.out_channels, kernel_size=3, padding=1)
    fast.load_state_dict(layer.state_dict())
    return fast


def to_pictures(digits: Tensor, size: int) -> Tensor:
    """Digits, as `FineTuned` takes them, to the input of torchvision's convolutions `float[N, 3, size, size]`."""
    digits = to_unit_range(digits)  # (N, 1, 28, 28)
    enlarged = F.interpolate(digits, (size, size), mode="bilinear")
    mean, deviation = (digits.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (enlarged.expand(-1, 3, -1, -1) - mean) / deviation  # grey as red, green and blue


def load_features(architecture: str, source: str, fingerprint: str = "") -> tuple[nn.Sequential, str]:
    """torchvision's convolutions with the weights of a source, and the fingerprint of these weights.

    Raises:
        BackboneError: if the weights are missing, or have another fingerprint than the requested one.
    """
    with torch.device("meta"):  # without memory: torchvision would first fill 500 MB with random numbers
        features = getattr(models, architecture)().features
    if source == "none":
        features.to_empty(device="cpu")
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # torchvision's convolutions have a bias
        return features, ""
    tensors = backbones.load(architecture, source)
    actual = backbones.fingerprint(tensors)
    if fingerprint not in ("", actual):
        raise backbones.BackboneError(
            f"This checkpoint needs the {source} backbone {fingerprint}, but this version of the project has {actual}. "
            "Use checkpoint and backbone of the same version."
        )
    features.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return features, actual
