"""The network that pretrains the convolutions of VGG16 and AlexNet on letters.

The letters come from font files (see `atelier.data.glyphs`): many scripts, many fonts, never a digit. The convolutions
learn strokes, corners, loops and their arrangement; these transfer to digits.

During pretraining, a batch norm follows each convolution (Ioffe and Szegedy 2015, arXiv:1502.03167), because VGG16
hardly learns without it. At the end, each batch norm is folded into its convolution, which gives torchvision's plain
architecture with the same answers.
"""

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atelier.models.finetuned import load_features, to_pictures


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
        """The weights by torchvision's names, with each batch norm folded into its convolution."""
        plain: list[Any] = []
        for layer in copy.deepcopy(self.features).eval():
            if isinstance(layer, nn.BatchNorm2d):
                plain[-1] = fuse_conv_bn_eval(plain[-1], layer)
            else:
                plain.append(layer)
        return nn.Sequential(*plain).state_dict()
