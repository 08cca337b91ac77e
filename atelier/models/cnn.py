"""A convolutional neural network (CNN), the classic network for reading a digit.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition" (Proceedings of the
IEEE 86(11); older than arXiv). Two later additions: batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) and
dropout (Srivastava et al. 2014, JMLR 15).

Three ideas, in the order in which a digit meets them:

1. Convolution: a small filter (3 x 3 numbers) slides over the picture and responds strongly wherever the picture looks
   like the filter. The same filter is used everywhere, because a stroke looks the same everywhere.
2. Pooling: only the strongest response of every 2 x 2 neighbours is kept. The map shrinks, the exact place is lost, and
   the next filters cover a larger part of the picture.
3. Fully connected layers: all responses are weighed, and each of the ten digits gets a score.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from atelier.models.inputs import to_unit_range
from atelier.models.sizes import Config, number, numbers


@dataclass(frozen=True)
class CNNConfig(Config):
    channels: tuple[int, int, int, int] = numbers((16, 32, 64, 128), 1, 512, fewest=4, most=4)  # of each convolution
    hidden: int = number(128, 1, 4096)  # width of the fully connected layer
    dropout: float = number(0.1, 0, 0.99)  # share of the hidden values that training sets to zero at random


class ConvLayer(nn.Sequential):
    """Convolution, optional pooling, batch norm, ReLU.

    Pooling comes first: batch norm and ReLU then have a quarter of the work, and training takes 0.6 of the time.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, padding: int = 0, pool: bool = False):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, padding=padding, bias=False),  # the norm has a bias of its own
            nn.MaxPool2d(2) if pool else nn.Identity(),  # (N, outputs, H / 2, W / 2)
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class CNN(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`."""

    def __init__(self, config: CNNConfig = CNNConfig()):
        super().__init__()
        self.config = config
        c1, c2, c3, c4 = config.channels
        self.features = nn.Sequential(
            ConvLayer(1, c1, kernel_size=5, pool=True),  # (N, c1, 12, 12); no padding: the border is always black
            ConvLayer(c1, c2, kernel_size=3, padding=1),  # (N, c2, 12, 12)
            ConvLayer(c2, c3, kernel_size=3, padding=1, pool=True),  # (N, c3, 6, 6)
            ConvLayer(c3, c4, kernel_size=3, padding=1, pool=True),  # (N, c4, 3, 3)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 9 * c4)
            nn.Linear(9 * c4, config.hidden),  # (N, hidden)
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 10),  # (N, 10)
        )

    def forward(self, digits: Tensor) -> Tensor:
        digits = to_unit_range(digits)  # (N, 1, 28, 28)
        return self.classifier(self.features(digits))
