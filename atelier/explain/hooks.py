"""Copies of networks for hooks. Networks are shared by all visitors and threads, so explanations use their own copy."""

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.models.inputs import to_unit_range

Network = TypeVar("Network", bound=nn.Module)


def hookable_copy(network: Network) -> Network:
    """Copy a network's modules but share its weights: milliseconds, no memory. Do not change the weights.

    Layers of the copy never overwrite their input (`nn.ReLU(inplace=True)` would), so a hook may keep it.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, memo=shared)
    for module in twin.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return twin


def as_input(classifier: Classifier, digit: np.ndarray) -> Tensor:
    """Convert a digit `uint8[28, 28]` to `float[1, 1, 28, 28]` in [0, 1] on the network's device.

    Raises:
        ValueError: for any other shape or type.
    """
    digit = np.asarray(digit)
    if digit.shape != (SIDE, SIDE) or digit.dtype != np.uint8:
        raise ValueError(f"Expected uint8[28, 28]; this is {digit.dtype}{list(digit.shape)}.")
    return to_unit_range(torch.tensor(digit, device=classifier.device)[None])
