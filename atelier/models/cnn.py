"""A convolutional neural network (CNN), the classic way to read a digit.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition"
(Proceedings of the IEEE 86(11); older than arXiv), with two habits the field has taken up since: batch normalisation
(Ioffe and Szegedy 2015, arXiv:1502.03167) and dropout (Srivastava et al. 2014, JMLR 15).

Three ideas, in the order in which a digit meets them:

1. Convolution: a small filter (3 x 3 numbers) slides over the picture and answers strongly wherever the picture looks
   like the filter. The same filter everywhere: a stroke is a stroke, wherever it lies.
2. Pooling: keep the strongest answer of every 2 x 2 neighbours. The map shrinks, the exact place is forgotten, and the
   next filters see a larger part of the picture.
3. Fully connected layers: weigh everything that was found and give each of the ten digits a score.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from atelier.models.inputs import to_unit_range
from atelier.models.sizes import check_number, check_numbers


@dataclass(frozen=True)
class CNNConfig:
    channels: tuple[int, int, int, int] = (16, 32, 64, 128)  # filters of each convolution
    hidden: int = 128  # width of the fully connected layer
    dropout: float = 0.1  # share of the hidden values silenced at random while training

    def __post_init__(self) -> None:
        check_numbers("channels", self.channels, fewest=4, most=4, low=1, high=512)
        check_number("hidden", self.hidden, 1, 4096)
        check_number("dropout", self.dropout, 0, 0.99, whole=False)


class CNN(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`."""

    def __init__(self, config: CNNConfig = CNNConfig()):
        super().__init__()
        self.config = config
        c1, c2, c3, c4 = config.channels
        self.features = nn.Sequential(
            ConvLayer(1, c1, kernel_size=5, pool=True),  # (N, c1, 12, 12): no padding, the border is black anyway
            ConvLayer(c1, c2, kernel_size=3, padding=1),  # (N, c2, 12, 12)
            ConvLayer(c2, c3, kernel_size=3, padding=1, pool=True),  # (N, c3, 6, 6)
            ConvLayer(c3, c4, kernel_size=3, padding=1, pool=True),  # (N, c4, 3, 3)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 9 * c4)
            nn.Linear(9 * c4, config.hidden),  # (N, hidden)
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 10),  # (N, 10): a score for each digit
        )

    def forward(self, digits: Tensor) -> Tensor:
        digits = to_unit_range(digits)  # (N, 1, 28, 28)
        return self.classifier(self.features(digits))


class ConvLayer(nn.Sequential):
    """Filters, pooling where asked, the norm that keeps the answers in a range that trains fast, then only what is
    positive.

    Pooling comes first because norm and ReLU then have a quarter of the work: training takes 0.6 of the time.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, padding: int = 0, pool: bool = False):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, padding=padding, bias=False),  # the norm brings its own bias
            nn.MaxPool2d(2) if pool else nn.Identity(),  # (N, outputs, H / 2, W / 2)
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
