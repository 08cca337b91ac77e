"""A Vision Transformer (ViT), written from scratch: a picture read as a sentence of patches.

Dosovitskiy et al. 2020, "An image is worth 16x16 words: Transformers for image recognition at scale"
(arXiv:2010.11929), built on the Transformer of Vaswani et al. 2017, "Attention is all you need" (arXiv:1706.03762).

A digit passes four stations:

1. Patches: the picture is cut into squares, and each square's pixels become one token by a linear embedding.
2. Positions: a class token is put in front, and every place in the row gets a vector of its own, added to its token.
   Without it the network could not tell a picture from the same patches shuffled.
3. Blocks: in each, attention lets every token collect from those it finds relevant, then a small network thinks each
   token over. Nothing here knows that neighbouring patches are neighbours: that has to be learnt from data, which is
   why a ViT needs more digits, more variation and more patience than a CNN.
4. Head: the class token has collected what matters; a linear layer turns it into ten scores.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from atelier.data.mnist import SIDE
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import check_number


@dataclass(frozen=True)
class ViTConfig:
    patch_size: int = 4  # pixels; 28 / 4 gives 7 x 7 patches
    dim: int = 96  # width: numbers in a token
    depth: int = 6  # blocks
    heads: int = 4  # attention patterns side by side in a block
    mlp_ratio: int = 4  # hidden width of a block's small network, in dims
    dropout: float = 0.0  # share of what a block adds to a token that is silenced at random while training

    def __post_init__(self) -> None:
        check_number("patch_size", self.patch_size, 1, SIDE)
        check_number("dim", self.dim, 4, 384)
        check_number("depth", self.depth, 1, 24)
        check_number("heads", self.heads, 1, 16)
        check_number("mlp_ratio", self.mlp_ratio, 1, 8)
        check_number("dropout", self.dropout, 0, 0.99, whole=False)
        if self.patch_size not in (2, 4, 7, 14):
            raise ValueError(f"Patches of {self.patch_size} pixels do not tile {SIDE} usefully: choose 2, 4, 7 or 14.")
        if self.dim % 4:
            raise ValueError(
                f"A width of {self.dim} does not hold sine and cosine of row and of column: choose a multiple of 4."
            )
        if self.dim % self.heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.dim} numbers equally: dim must be a multiple of heads."
            )


class ViT(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`.

    Shapes in comments: N digits, P patches, T = 1 + P tokens, D = dim, H heads, L = depth.
    """

    def __init__(self, config: ViTConfig = ViTConfig()):
        super().__init__()
        self.config = config
        self.embedding = nn.Linear(config.patch_size**2, config.dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        places = sine_cosine_positions(SIDE // config.patch_size, config.dim)  # (P, D)
        self.positions = nn.Parameter(torch.cat([torch.zeros(1, config.dim), places]).unsqueeze(0))  # (1, T, D)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, 10)

    def forward(self, digits: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; if asked, also how much each token looked at each other one: `attention float[N, L, H, T, T]`."""
        digits = to_unit_range(digits)  # (N, 1, 28, 28)
        tokens = self.embedding(patchify(standardise(digits), self.config.patch_size))  # (N, P, D)
        # What is added takes on the tokens' precision: in mixed precision they stay bfloat16, which is faster.
        class_token = self.class_token.expand(len(tokens), -1, -1).to(tokens.dtype)
        tokens = torch.cat([class_token, tokens], dim=1) + self.positions.to(tokens.dtype)  # (N, T, D)
        attention = []
        for block in self.blocks:
            tokens, weights = block(tokens)  # (N, T, D), (N, H, T, T)
            attention.append(weights)
        logits = self.head(self.norm(tokens[:, 0]))  # (N, 10), from the class token alone
        return (logits, torch.stack(attention, dim=1)) if return_attention else logits

    def hidden_matrices(self) -> list[Tensor]:
        """The weights between embedding and head that an optimiser for matrices (Muon) can train."""
        return [parameter for parameter in self.blocks.parameters() if parameter.ndim == 2]


class Block(nn.Module):
    """Tokens talk to each other, then each is thought over; both only add to what is there."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config.dim, config.heads)
        self.mlp_norm = nn.LayerNorm(config.dim)
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, config.mlp_ratio * config.dim),
            nn.GELU(),
            nn.Linear(config.mlp_ratio * config.dim, config.dim),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        collected, weights = self.attention(self.attention_norm(tokens))
        tokens = tokens + self.dropout(collected)
        tokens = tokens + self.dropout(self.mlp(self.mlp_norm(tokens)))
        return tokens, weights


class Attention(nn.Module):
    """Multi-head self-attention: `softmax(Q K^T / sqrt(d)) V` in each head, with d = D / H (Vaswani et al. 2017)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)  # what each token asks for, what it offers, and what it hands over
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, T, D)` to the collected `(N, T, D)` and the weights `(N, H, T, T)`, whose rows sum to 1."""
        n, t, dim = tokens.shape
        d = dim // self.heads
        q, k, v = self.qkv(tokens).view(n, t, 3, self.heads, d).permute(2, 0, 3, 1, 4)  # (N, H, T, d) each
        similarity = q @ k.transpose(-2, -1) / d**0.5  # (N, H, T, T)
        weights = similarity.softmax(dim=-1)
        collected = weights @ v  # (N, H, T, d)
        return self.out(collected.transpose(1, 2).reshape(n, t, dim)), weights


def sine_cosine_positions(side: int, dim: int) -> Tensor:
    """Where learning of the positions begins: sines and cosines of row and column, in dim / 4 wavelengths each, so that
    near places begin alike (Vaswani et al. 2017; in two dimensions Beyer et al. 2022, arXiv:2205.01580).

    Returns:
        `float[side * side, dim]` in [-0.5, 0.5], places as one reads.
    """
    rates = 100.0 ** -(torch.arange(dim // 4) / (dim // 4))  # radians a place, from 1 down to about 1 / 100
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * rates for place in (row, column)], dim=1)  # (P, D / 2)
    return 0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)


def patchify(pictures: Tensor, patch_size: int) -> Tensor:
    """Cut `(N, C, height, width)` into rows of pixels, patch by patch as one reads: `(N, P, C * patch_size ** 2)`."""
    n, c, height, width = pictures.shape
    rows, columns = height // patch_size, width // patch_size
    squares = pictures.reshape(n, c, rows, patch_size, columns, patch_size)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, c * patch_size**2)


def standardise(digits: Tensor) -> Tensor:
    """Each picture with mean 0 and standard deviation 1, so that a faint pen and a bold one look alike."""
    deviation, mean = torch.std_mean(digits, dim=(2, 3), keepdim=True)
    return (digits - mean) / (deviation + 1e-3)
