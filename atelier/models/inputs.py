"""The first step of every network: digits as numbers in [0, 1]."""

import torch
from torch import Tensor


def to_unit_range(digits: Tensor) -> Tensor:
    """Convert `uint8[N, H, W]` to `float[N, 1, H, W]` in [0, 1]; a float tensor is returned unchanged."""
    if digits.dtype != torch.uint8:
        return digits
    return digits.unsqueeze(1).float() / 255
