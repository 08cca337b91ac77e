"""A Vision Transformer (ViT), written from scratch: a network that treats a picture as a sequence of patches.

Dosovitskiy et al. 2020, "An image is worth 16x16 words: Transformers for image recognition at scale"
(arXiv:2010.11929), built on the Transformer of Vaswani et al. 2017, "Attention is all you need" (arXiv:1706.03762).

Four steps:

1. Patches: the picture is cut into squares. A linear embedding turns each square's pixels into one token.
2. Positions: a class token is put in front, and a vector for its position is added to each token. Without positions,
   the network could not distinguish a picture from the same patches in another order.
3. Blocks: attention lets each token collect information from the tokens that matter to it; then a small network (MLP)
   processes each token. Nothing here encodes that neighbouring patches are neighbours. The ViT learns this from data,
   so it needs more digits, more augmentation and more epochs than a CNN.
4. Head: the class token has collected the information; a linear layer turns it into ten scores.

Shapes in comments: N digits, P patches, T = 1 + P tokens, D = dim, H heads, d = D / H, L = depth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from atelier.data.mnist import SIDE
from atelier.models.inputs import to_unit_range
from atelier.models.sizes import Config, choice, number


@dataclass(frozen=True)
class ViTConfig(Config):
    patch_size: int = choice(4, (2, 4, 7, 14))  # pixels; 28 / 4 gives 7 x 7 patches
    dim: int = number(96, 4, 384)  # width: numbers in a token
    depth: int = number(6, 1, 24)  # blocks
    heads: int = number(4, 1, 16)  # attention patterns in each block
    mlp_ratio: int = number(4, 1, 8)  # hidden width of a block's MLP, in dims
    dropout: float = number(0.0, 0, 0.99)  # share of each block's output that training sets to zero at random

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % 4:  # sine and cosine, of row and of column
            raise ValueError(f"dim must be a multiple of 4, not {self.dim}.")
        if self.dim % self.heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.dim} numbers equally: dim must be a multiple of heads."
            )


class Attention(nn.Module):
    """Multi-head self-attention: `softmax(Q K^T / sqrt(d)) V` in each head (Vaswani et al. 2017)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)  # query, key and value projections for all heads
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, T, D)` to the collected values `(N, T, D)` and the weights `(N, H, T, T)`, whose rows sum to 1."""
        n, t, dim = tokens.shape
        d = dim // self.heads
        q, k, v = self.qkv(tokens).view(n, t, 3, self.heads, d).permute(2, 0, 3, 1, 4)  # (N, H, T, d) each
        similarity = q @ k.transpose(-2, -1) / d**0.5  # (N, H, T, T)
        weights = similarity.softmax(dim=-1)
        collected = weights @ v  # (N, H, T, d)
        return self.out(collected.transpose(1, 2).reshape(n, t, dim)), weights


class Block(nn.Module):
    """Attention between tokens, then an MLP on each token; both outputs are added to the tokens."""

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
        collected, weights = self.attention(self.attention_norm(tokens))  # (N, T, D), (N, H, T, T)
        tokens = tokens + self.dropout(collected)
        tokens = tokens + self.dropout(self.mlp(self.mlp_norm(tokens)))
        return tokens, weights


class ViT(nn.Module):
    """`uint8[N, 28, 28]`, or `float[N, 1, 28, 28]` in [0, 1], to `logits float[N, 10]`."""

    def __init__(self, config: ViTConfig = ViTConfig()):
        super().__init__()
        self.config = config
        self.embedding = nn.Linear(config.patch_size**2, config.dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        positions = sine_cosine_positions(SIDE // config.patch_size, config.dim)  # (P, D)
        self.positions = nn.Parameter(torch.cat([torch.zeros(1, config.dim), positions]).unsqueeze(0))  # (1, T, D)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, 10)

    def forward(self, digits: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; with `return_attention` also the weights of all blocks, `attention float[N, L, H, T, T]`."""
        digits = to_unit_range(digits)  # (N, 1, 28, 28)
        tokens = self.embedding(patchify(standardise(digits), self.config.patch_size))  # (N, P, D)
        # Class token and positions take the tokens' type: in mixed precision these stay bfloat16, which is faster.
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


def standardise(digits: Tensor) -> Tensor:
    """Give each picture mean 0 and standard deviation 1: a faint pen and a bold one then look alike."""
    deviation, mean = torch.std_mean(digits, dim=(2, 3), keepdim=True)
    return (digits - mean) / (deviation + 1e-3)


def patchify(pictures: Tensor, patch_size: int) -> Tensor:
    """Cut `(N, C, height, width)` into patches, row by row: `(N, P, C * patch_size ** 2)`."""
    n, c, height, width = pictures.shape
    rows, columns = height // patch_size, width // patch_size
    squares = pictures.reshape(n, c, rows, patch_size, columns, patch_size)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, c * patch_size**2)


def sine_cosine_positions(side: int, dim: int) -> Tensor:
    """Initial positions: sines and cosines of row and column, in dim / 4 wavelengths each.

    Near patches then have similar positions (Vaswani et al. 2017; in two dimensions Beyer et al. 2022,
    arXiv:2205.01580).

    Returns:
        `float[side * side, dim]` in [-0.5, 0.5], patches row by row.
    """
    rates = 100.0 ** -(torch.arange(dim // 4) / (dim // 4))  # radians per patch, from 1 down to about 1 / 100
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * rates for place in (row, column)], dim=1)  # (P, D / 2)
    return 0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)
