"""Where a Vision Transformer looks, and what that has to do with its answer.

Token 0 is the class token, from which the answer is read; tokens 1 to P are the patches as one reads, g a row (P = g²).
Attention is what `Classifier.attention` gives, `float32[layers, heads, tokens, tokens]`: a row says where one token
looks, and sums to 1.
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


# What attention alone says: arrays in, arrays out --------------------------------------------------------------------


def patch_map(rows: np.ndarray) -> np.ndarray:
    """Rows of attention as maps of the patches, the class token left out: `float[…, tokens]` to `float[…, g, g]`."""
    side = math.isqrt(rows.shape[-1] - 1)
    return rows[..., 1:].reshape(*rows.shape[:-1], side, side)


def rollout(attention: np.ndarray, fusion: Fusion = "mean", discard: float = 0.0) -> np.ndarray:
    """How much of each patch reaches the class token through all layers (Abnar and Zuidema 2020, "Quantifying attention
    flow in transformers", arXiv:2005.00928).

    A block adds what a token collects to what the token is. So in each layer a token is counted as one half itself, one
    half what it looks at; multiplying the layers follows all paths from the patches to the class token.

    Args:
        attention: `float[layers, heads, tokens, tokens]`.
        fusion: how the heads of a layer become one map.
        discard: share (0 to below 1) of each layer's smallest attentions that are set to 0 first, never the class
            token's to itself. Not in the paper, but widely used to see the strong paths.

    Returns:
        `float32[g, g]`; what its sum lacks to 1 the class token has kept from its own beginning.

    Raises:
        ValueError: for another fusion, or a share out of range.
    """
    rolled = itself = np.eye(attention.shape[-1])
    for weights in _fused(attention, fusion, discard):
        mixed = weights + itself
        rolled = mixed / mixed.sum(1, keepdims=True) @ rolled
    return patch_map(rolled[0]).astype(np.float32)


def relevance(
    attention: np.ndarray, gradients: np.ndarray, fusion: Fusion = "mean", discard: float = 0.0
) -> np.ndarray:
    """A rollout that counts an attention only as far as it raises a class's logit (Chefer et al. 2021, "Generic
    attention-model explainability for interpreting bi-modal and encoder-decoder transformers", arXiv:2103.15679; its
    fusion is the mean).

    Args:
        attention: `float[layers, heads, tokens, tokens]`.
        gradients: of the logit with respect to each attention, same shape.
        fusion, discard: as for `rollout`, of the positive part of gradient x attention.

    Returns:
        `float32[g, g]`, 0 and above, in units of the logit; all 0 where nothing raises it.

    Raises:
        ValueError: as `rollout`.
    """
    rolled = np.eye(attention.shape[-1])
    for weights in _fused(np.maximum(gradients * attention, 0), fusion, discard):
        rolled = rolled + weights @ rolled
    return patch_map(rolled[0]).astype(np.float32)


def _fused(maps: np.ndarray, fusion: Fusion, discard: float) -> np.ndarray:
    """`[layers, heads, tokens, tokens]` to `[layers, tokens, tokens]`."""
    if fusion not in FUSIONS or not 0 <= discard < 1:
        raise ValueError(f"Heads are fused by {', '.join(FUSIONS)}; the share to discard is 0 or more and below 1.")
    fused = FUSIONS[fusion](maps.astype(float), axis=1)
    small = fused < np.quantile(fused, discard, axis=(1, 2), keepdims=True)
    small[:, 0, 0] = False
    return np.where(small, 0, fused)


def attention_distance(attention: np.ndarray) -> np.ndarray:
    """How far patches look, from centre to centre: `float[…, tokens, tokens]` to pixels `float[…]`, mean over patches.

    The class token has no place: it is left out, and the rows made to sum to 1 again.
    """
    looks = attention[..., 1:, 1:]
    side = math.isqrt(looks.shape[-1])
    centres = np.stack(np.divmod(np.arange(side**2), side), axis=1) * SIDE / side
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)  # (P, P)
    sums = np.maximum(looks.sum(-1), np.finfo(np.float32).tiny)  # 0 for a patch that sees only the class token
    return ((looks * apart).sum(-1) / sums).mean(-1)


def cosines(places: np.ndarray) -> np.ndarray:
    """How alike the directions of any two rows are: `float[P, D]` to `float[P, P]`, -1 to 1."""
    unit = places / np.linalg.norm(places, axis=1, keepdims=True)
    return unit @ unit.T


# What the network says -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Passage:
    """What a digit becomes on its way through the network; D numbers a token."""

    patches: np.ndarray  # uint8[P, p, p]
    embedded: np.ndarray  # float32[P, D], before the positions are added
    tokens: np.ndarray  # float32[depth + 1, 1 + P, D], with positions, and after each block
    logits: np.ndarray  # float32[10]


def passage(classifier: Classifier, digit: np.ndarray) -> Passage:
    """The way of one digit (`uint8[28, 28]`) through the network.

    Raises:
        TypeError: for a network without attention.
        ValueError: for a digit of another shape or type.
    """
    logits, tokens, _ = _watch(classifier, digit)
    before = tokens[0, 1:] - classifier.network.positions[0, 1:]
    patches = cut(digit, classifier.network.config.patch_size)
    return Passage(patches, _array(before), _array(tokens), _array(logits))


def logit_lens(classifier: Classifier, digit: np.ndarray) -> np.ndarray:
    """The answer if the network ended early: its last norm and head read the class token after the embedding and after
    each block (nostalgebraist 2020, "Interpreting GPT: the logit lens").

    Args:
        digit: `uint8[28, 28]`.

    Returns:
        `float32[depth + 1, 10]`, rows sum to 1; the last is the network's answer.

    Raises:
        TypeError, ValueError: as `passage`.
    """
    _, tokens, _ = _watch(classifier, digit)
    network = classifier.network
    return _array(network.head(network.norm(tokens[:, 0])).softmax(dim=1))


def gradient_rollout(
    classifier: Classifier, digit: np.ndarray, target: int, fusion: Fusion = "mean", discard: float = 0.0
) -> np.ndarray:
    """Which patches speak for a class, see `relevance`.

    Args:
        digit: `uint8[28, 28]`.
        target: the class, 0 to 9, whether it is the answer or not.
        fusion, discard: as for `rollout`.

    Returns:
        `float32[g, g]`, 0 and above.

    Raises:
        TypeError, ValueError: as `passage` and `rollout`.
    """
    logits, _, attention = _watch(classifier, digit)
    gradients = torch.autograd.grad(logits[target], attention)
    return relevance(_array(torch.cat(attention)), _array(torch.cat(gradients)), fusion, discard)


def mean_attention_distance(classifier: Classifier, digits: np.ndarray) -> np.ndarray:
    """How far the patches look in each layer and head, mean over digits (Dosovitskiy et al. 2020, arXiv:2010.11929,
    figure 7).

    Args:
        digits: `uint8[N, 28, 28]`; a few hundred are enough, and take milliseconds each.

    Returns:
        `float64[layers, heads]`, in pixels.

    Raises:
        TypeError, ValueError: as `passage`.
    """
    return np.mean([attention_distance(classifier.attention(digit)) for digit in digits], axis=0)


def position_similarity(classifier: Classifier) -> np.ndarray:
    """How alike the learnt positional embeddings of any two patches are: cosines `float32[P, P]`.

    Raises:
        TypeError: for a network without attention.
    """
    return cosines(_array(_transformer(classifier).positions[0, 1:]))


def cut(digit: np.ndarray, size: int) -> np.ndarray:
    """A digit's patches as one reads: `uint8[28, 28]` to `uint8[P, size, size]`."""
    side = SIDE // size
    return digit.reshape(side, size, side, size).swapaxes(1, 2).reshape(-1, size, size)


def _transformer(classifier: Classifier) -> ViT:
    if classifier.spec.family is not Family.TRANSFORMER:
        raise TypeError(f"The {classifier.spec.title} has no attention; a Vision Transformer has.")
    return classifier.network


def _watch(classifier: Classifier, digit: np.ndarray) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Logits `(10)`; tokens `(depth + 1, T, D)` before the first and after each block; the blocks' attention
    `(1, H, T, T)`, of which the logits are made; they have no gradient with respect to the copy that `forward` returns.
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
