"""VGG16 and AlexNet, fine-tuned: pretrained networks learn to read digits.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks" (NeurIPS); with
torchvision, in the slimmer form of Krizhevsky 2014 (arXiv:1404.5997). Simonyan and Zisserman 2014, "Very deep
convolutional networks for large-scale image recognition" (arXiv:1409.1556). How far features carry over from one task
to another: Yosinski et al. 2014 (arXiv:1411.1792).

The convolutions are torchvision's own, with weights from `backbones.py`. They fall into two parts:

    digits --extract_features--> features --classify--> logits

`extract_features` is frozen: its weights do not change, so the features of a picture are computed only once. `classify`
is trained: the last convolution (or more of them), and a new head with one logit for each digit.
"""

import reprlib
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from atelier.models import backbones
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import check_number

SOURCES = ("glyphs", "imagenet", "none")  # of the convolutions' weights, see `backbones.py`
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's weights expect


@dataclass(frozen=True)
class FineTunedConfig:
    input_size: int  # pixels: digits are enlarged to this height and width
    backbone: str = "glyphs"  # one of SOURCES
    fingerprint: str = ""  # of these weights; "" takes what is there, and is then filled in
    thawed: int = 1  # how many of the last convolutions are trained; the others stay frozen
    hidden: int = 256  # width of the head
    dropout: float = 0.2  # share of the head's values silenced at random while training

    def __post_init__(self) -> None:
        check_number("input_size", self.input_size, 1, 224)
        check_number("thawed", self.thawed, 0, 13)
        check_number("hidden", self.hidden, 1, 4096)
        check_number("dropout", self.dropout, 0, 0.99, whole=False)
        if self.backbone not in SOURCES:
            raise ValueError(f"backbone must be one of {', '.join(SOURCES)}, not {reprlib.repr(self.backbone)}.")
        if not isinstance(self.fingerprint, str) or len(self.fingerprint) not in (0, 16):
            raise ValueError(f"fingerprint must be 16 characters, or none, not {reprlib.repr(self.fingerprint)}.")


@dataclass(frozen=True)
class VGG16Config(FineTunedConfig):
    input_size: int = 48


@dataclass(frozen=True)
class AlexNetConfig(FineTunedConfig):
    input_size: int = 64


class FineTuned(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`.

    Raises:
        BackboneError: if the backbone's weights are not there, or are not those of the config's fingerprint.
        ValueError: for sizes that cannot work.
    """

    architecture: str  # torchvision's name for it
    smallest_input: int  # pixels, so that something is left after the last pooling

    def __init__(self, config: FineTunedConfig):
        super().__init__()
        if config.input_size < self.smallest_input:
            raise ValueError(f"{self.architecture} needs an input of at least {self.smallest_input} pixels.")
        self.features, fingerprint = load_features(self.architecture, config.backbone, config.fingerprint)
        self.config = replace(config, fingerprint=fingerprint)
        convolutions = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.Conv2d)]
        if not 0 <= config.thawed <= len(convolutions):
            raise ValueError(f"{self.architecture} has {len(convolutions)} convolutions to thaw, not {config.thawed}.")
        self.first_thawed = [*convolutions, len(self.features)][len(convolutions) - config.thawed]
        self.features[: self.first_thawed].requires_grad_(False)
        for index in range(self.first_thawed, len(self.features)):
            self.features[index] = quick_on_small_maps(self.features[index])
        width = self.features[convolutions[-1]].out_channels
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (N, width, 1, 1)
            nn.Flatten(),  # (N, width)
            nn.Linear(width, config.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 10),
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
        """The frozen weights, in order: they decide the features."""
        return [parameter for parameter in self.parameters() if not parameter.requires_grad]

    def borrowed(self) -> set[str]:
        """Names of the weights that lie in the backbone's file and not in a checkpoint."""
        if self.config.backbone == "none":
            return set()
        return {name for name, parameter in self.named_parameters() if not parameter.requires_grad}


class VGG16(FineTuned):
    """Thirteen convolutions of 3 x 3, one after another: small filters, great depth."""

    architecture, smallest_input = "vgg16", 32

    def __init__(self, config: VGG16Config = VGG16Config()):
        super().__init__(config)


class AlexNet(FineTuned):
    """Five convolutions, the first of 11 x 11: the network that began the age of deep learning."""

    architecture, smallest_input = "alexnet", 63

    def __init__(self, config: AlexNetConfig = AlexNetConfig()):
        super().__init__(config)


class MatrixConv2d(nn.Conv2d):
    """A 3 x 3 convolution that is trained as one matrix product where its maps are small: the nine neighbours of each
    place side by side in a row, times the filters. On 3 x 3 maps a CPU takes a third of the time for it."""

    LARGEST_MAP = 16  # places

    def forward(self, maps: Tensor) -> Tensor:
        h, w = maps.shape[2:]
        if not self.training or h * w > self.LARGEST_MAP:
            return super().forward(maps)
        padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # (N, H + 2, W + 2, C)
        neighbours = [padded[:, y : y + h, x : x + w] for y in range(3) for x in range(3)]  # (N, H, W, C) each
        rows, filters = torch.cat(neighbours, dim=-1), self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(rows, filters, self.bias).permute(0, 3, 1, 2)  # (N, filters, H, W)


def quick_on_small_maps(layer: nn.Module) -> nn.Module:
    """A MatrixConv2d with the weights of a layer that can be one; else the layer itself."""
    if not isinstance(layer, nn.Conv2d) or (layer.kernel_size, layer.stride, layer.padding) != ((3, 3), (1, 1), (1, 1)):
        return layer
    quick = MatrixConv2d(layer.in_channels, layer.out_channels, kernel_size=3, padding=1)
    quick.load_state_dict(layer.state_dict())
    return quick


def to_pictures(digits: Tensor, size: int) -> Tensor:
    """Digits as `FineTuned` takes them, to what torchvision's convolutions expect: `float[N, 3, size, size]`."""
    digits = to_unit_range(digits)  # (N, 1, 28, 28)
    enlarged = F.interpolate(digits, (size, size), mode="bilinear")
    mean, deviation = (digits.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (enlarged.expand(-1, 3, -1, -1) - mean) / deviation  # grey as red, green and blue


def load_features(architecture: str, source: str, fingerprint: str = "") -> tuple[nn.Sequential, str]:
    """torchvision's convolutions with the weights of a source, and the fingerprint of these.

    Raises:
        BackboneError: if they are not there, or have another fingerprint than the one asked for.
    """
    with torch.device("meta"):  # no memory yet: torchvision would first fill 500 MB with random numbers
        features = getattr(models, architecture)().features
    if source == "none":
        features.to_empty(device="cpu")
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        return features, ""
    tensors = backbones.load(architecture, source)
    found = backbones.fingerprint(tensors)
    if fingerprint not in ("", found):
        raise backbones.BackboneError(
            f"This checkpoint was trained on a {source} backbone with the fingerprint {fingerprint}; the one here has "
            f"{found}. Take both from the same version."
        )
    features.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return features, found
