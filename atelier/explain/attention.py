"""Attention of a Vision Transformer, and its effect on the answer.

Token 0 is the class token, from which the head computes the answer; tokens 1 to P are the patches, row by row, g in a
row (P = g²). Attention is the result of `Classifier.attention`, `float32[layers, heads, tokens, tokens]`: each row is
the attention of one token to all tokens, and sums to 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain.hooks import as_input, hookable_copy
from atelier.models.vit import Block, ViT
from atelier.zoo import Family

Fusion = Literal["mean", "max", "min"]
FUSIONS: dict[str, Callable] = {"mean": np.mean, "max": np.max, "min": np.min}


# From attention alone: arrays in, arrays out -------------------------------------------------------------------------


def patch_map(rows: np.ndarray) -> np.ndarray:
    """Arrange attention to the patches, without the class token, as maps: `float[…, tokens]` to `float[…, g, g]`."""
    side = math.isqrt(rows.shape[-1] - 1)
    return rows[..., 1:].reshape(*rows.shape[:-1], side, side)


def rollout(attention: np.ndarray, fusion: Fusion = "mean", discard: float = 0.0) -> np.ndarray:
    """Trace attention from the class token through all layers back to the patches.

    Abnar and Zuidema 2020, "Quantifying attention flow in transformers" (arXiv:2005.00928). A block adds the attended
    values to the token itself, so each layer counts as half attention and half identity. The product of the layers
    follows all paths from the patches to the class token.

    Args:
        attention: `float[layers, heads, tokens, tokens]`.
        fusion: how the heads of a layer are combined.
        discard: share (0 to below 1) of the smallest attention weights of each layer that are set to 0 first, except
            that of the class token to itself. Not in the paper, but common, to show the strong paths.

    Returns:
        `float32[g, g]`; 1 minus its sum is the share of the class token's own embedding.

    Raises:
        ValueError: for an unknown fusion or a share out of range.
    """
    result = identity = np.eye(attention.shape[-1])
    for weights in _fuse(attention, fusion, discard):
        mixed = weights + identity
        result = mixed / mixed.sum(1, keepdims=True) @ result
    return patch_map(result[0]).astype(np.float32)


def relevance(
    attention: np.ndarray, gradients: np.ndarray, fusion: Fusion = "mean", discard: float = 0.0
) -> np.ndarray:
    """Trace only the attention that raises a class's logit.

    Chefer et al. 2021, "Generic attention-model explainability for interpreting bi-modal and encoder-decoder
    transformers" (arXiv:2103.15679; its fusion is the mean).

    Args:
        attention: `float[layers, heads, tokens, tokens]`.
        gradients: of the logit with respect to each attention weight, same shape.
        fusion, discard: as for `rollout`, applied to the positive part of gradient x attention.

    Returns:
        `float32[g, g]`, 0 and above, in units of the logit; all 0 where nothing raises it.

    Raises:
        ValueError: as `rollout`.
    """
    result = np.eye(attention.shape[-1])
    for weights in _fuse(np.maximum(gradients * attention, 0), fusion, discard):
        result = result + weights @ result
    return patch_map(result[0]).astype(np.float32)


def _fuse(maps: np.ndarray, fusion: Fusion, discard: float) -> np.ndarray:
    """`[layers, heads, tokens, tokens]` to `[layers, tokens, tokens]`."""
    if fusion not in FUSIONS or not 0 <= discard < 1:
        raise ValueError(f"Choose a fusion from {', '.join(FUSIONS)}, and a share to discard from 0 to below 1.")
    fused = FUSIONS[fusion](maps.astype(float), axis=1)
    small = fused < np.quantile(fused, discard, axis=(1, 2), keepdims=True)
    small[:, 0, 0] = False
    return np.where(small, 0, fused)


def attention_distance(attention: np.ndarray) -> np.ndarray:
    """Mean distance between the centres of a patch and the patches it attends to, weighted by attention.

    `float[…, tokens, tokens]` to pixels `float[…]`. The class token has no position: it is left out, and the rows are
    normalised to sum to 1 again.
    """
    weights = attention[..., 1:, 1:]
    side = math.isqrt(weights.shape[-1])
    centres = np.stack(np.divmod(np.arange(side**2), side), axis=1) * SIDE / side
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1)  # (P, P)
    sums = np.maximum(weights.sum(-1), np.finfo(np.float32).tiny)  # 0 for a patch that attends to the class token alone
    return ((weights * distances).sum(-1) / sums).mean(-1)


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosine similarity of each pair of rows: `float[P, D]` to `float[P, P]`, -1 to 1."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


# From a network and a digit ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ForwardPass:
    """A digit's intermediate values in the network; D numbers for each token."""

    patches: np.ndarray  # uint8[P, p, p], the pixels
    embedded: np.ndarray  # float32[P, D], before the positional embeddings are added
    tokens: np.ndarray  # float32[depth + 1, 1 + P, D], with positional embeddings, and after each block
    logits: np.ndarray  # float32[10]


def forward_pass(classifier: Classifier, digit: np.ndarray) -> ForwardPass:
    """Record the intermediate values of one digit (`uint8[28, 28]`).

    Raises:
        TypeError: for a network without attention.
        ValueError: for a digit of another shape or type.
    """
    logits, tokens, _ = _record(classifier, digit)
    embedded = tokens[0, 1:] - classifier.network.positions[0, 1:]
    patches = split_patches(digit, classifier.network.config.patch_size)
    return ForwardPass(patches, _array(embedded), _array(tokens), _array(logits))


def logit_lens(classifier: Classifier, digit: np.ndarray) -> np.ndarray:
    """Apply the final norm and head to the class token after the embedding and after each block.

    nostalgebraist 2020, "Interpreting GPT: the logit lens".

    Args:
        digit: `uint8[28, 28]`.

    Returns:
        `float32[depth + 1, 10]`, rows sum to 1; the last is the network's answer.

    Raises:
        TypeError, ValueError: as `forward_pass`.
    """
    _, tokens, _ = _record(classifier, digit)
    network = classifier.network
    return _array(network.head(network.norm(tokens[:, 0])).softmax(dim=1))


def gradient_rollout(
    classifier: Classifier, digit: np.ndarray, target: int, fusion: Fusion = "mean", discard: float = 0.0
) -> np.ndarray:
    """Attribute a class's logit to the patches, see `relevance`.

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9.
        fusion, discard: as for `rollout`.

    Returns:
        `float32[g, g]`, 0 and above.

    Raises:
        TypeError, ValueError: as `forward_pass` and `rollout`.
    """
    logits, _, attention = _record(classifier, digit)
    gradients = torch.autograd.grad(logits[target], attention)
    return relevance(_array(torch.cat(attention)), _array(torch.cat(gradients)), fusion, discard)


def mean_attention_distance(classifier: Classifier, digits: np.ndarray) -> np.ndarray:
    """Mean attention distance of each layer and head over digits (Dosovitskiy et al. 2020, arXiv:2010.11929, figure 7).

    Args:
        digits: `uint8[N, 28, 28]`; a few hundred are enough.

    Returns:
        `float64[layers, heads]`, in pixels.

    Raises:
        TypeError, ValueError: as `forward_pass`.
    """
    return np.mean([attention_distance(classifier.attention(digit)) for digit in digits], axis=0)


def position_similarity(classifier: Classifier) -> np.ndarray:
    """Cosine similarity of the positional embeddings of each pair of patches: `float32[P, P]`.

    Raises:
        TypeError: for a network without attention.
    """
    return cosines(_array(_transformer(classifier).positions[0, 1:]))


def split_patches(digit: np.ndarray, size: int) -> np.ndarray:
    """Split a digit into patches, row by row: `uint8[28, 28]` to `uint8[P, size, size]`."""
    side = SIDE // size
    return digit.reshape(side, size, side, size).swapaxes(1, 2).reshape(-1, size, size)


def _transformer(classifier: Classifier) -> ViT:
    if classifier.spec.family is not Family.TRANSFORMER:
        raise TypeError(f"The {classifier.spec.title} has no attention. Choose a Vision Transformer.")
    return classifier.network


def _record(classifier: Classifier, digit: np.ndarray) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Record logits `(10)`, tokens `(depth + 1, T, D)` before the first and after each block, and attention.

    The attention `(1, H, T, T)` of each block is the tensor that the logits are computed from. The logits have no
    gradient with respect to the copy that `forward` returns.
    """
    network = hookable_copy(_transformer(classifier))
    tokens, attention = [], []

    def before(block: Block, inputs: tuple[Tensor]) -> None:
        tokens.append(inputs[0])

    def after(block: Block, inputs: tuple[Tensor], outputs: tuple[Tensor, Tensor]) -> None:
        tokens.append(outputs[0])
        attention.append(outputs[1])

    network.blocks[0].register_forward_pre_hook(before)
    for block in network.blocks:
        block.register_forward_hook(after)
    with torch.enable_grad():
        (logits,) = network(as_input(classifier, digit).requires_grad_())  # gradients, even if all weights are frozen
    return logits, torch.cat(tokens), attention


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
