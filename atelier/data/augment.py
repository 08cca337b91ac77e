"""Augmentation: training digits are varied at random, a whole batch at once, on the device where it lies.

Digits drawn in a classroom differ from MNIST in slant, place, proportions, bend and, most of all, stroke width. Each of
these varies here, by another random amount for each picture (Simard, Steinkraus and Platt 2003, "Best practices for
convolutional neural networks applied to visual document analysis", ICDAR).
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.recipe import Augmentation


def augment(digits: Tensor, amount: Augmentation) -> Tensor:
    """Vary each digit of a batch at random (torch's global random state).

    Args:
        digits: `float[N, 1, 28, 28]` in [0, 1].
        amount: the limits.

    Returns:
        `float[N, 1, 28, 28]` in [0, 1], on the same device.
    """
    moved = F.grid_sample(digits, sampling_grid(digits, amount), align_corners=False)
    return vary_stroke(moved, amount.stroke)


def sampling_grid(digits: Tensor, amount: Augmentation) -> Tensor:
    """For each pixel of the new picture, its place in the old one: `float[N, H, W, 2]` in [-1, 1].

    One affine map for each picture (rotation, slant, scale, stretch, shift), plus a smooth random field (bend).
    """
    count, _, height, width = digits.shape
    device = digits.device

    def within(limit: float) -> Tensor:  # (N,), evenly in [-limit, limit]
        return (2 * torch.rand(count, device=device) - 1) * limit

    angle = within(math.radians(amount.rotation))
    size, stretch = torch.exp(within(amount.scale)), torch.exp(within(amount.stretch))
    cos, sin, slant = torch.cos(angle), torch.sin(angle), within(amount.slant)
    affine = torch.stack(
        [
            torch.stack(
                [cos * size * stretch, (cos * slant - sin) * size * stretch, within(2 * amount.shift / width)], 1
            ),
            torch.stack(
                [sin * size / stretch, (sin * slant + cos) * size / stretch, within(2 * amount.shift / height)], 1
            ),
        ],
        dim=1,
    )  # (N, 2, 3)
    grid = F.affine_grid(affine, list(digits.shape), align_corners=False)  # (N, H, W, 2)

    coarse = torch.randn(count, 2, 5, 5, device=device) * (2 * amount.bend / width)
    rows, columns = smooth(5, height, device), smooth(5, width, device)
    bend = torch.einsum("hi,ncij,wj->nhwc", rows, coarse, columns)  # (N, H, W, 2)
    return grid + bend


@cache
def smooth(few: int, many: int, device: torch.device) -> Tensor:
    """The matrix `float[many, few]` of bicubic interpolation from a few values to many.

    `F.interpolate` of a picture equals a product with it from both sides, which takes a CPU a sixth of the time.
    """
    curves = F.interpolate(torch.eye(few, device=device)[None, None], (many, few), mode="bicubic", align_corners=True)
    return curves[0, 0]


def vary_stroke(digits: Tensor, limit: float) -> Tensor:
    """Make strokes thicker or thinner: outlines move by up to `limit` pixels (at most 1)."""
    by = (2 * torch.rand(len(digits), 1, 1, 1, device=digits.device) - 1) * limit
    thicker = torch.lerp(digits, spread(digits), by.clamp(min=0))
    varied = torch.lerp(thicker, 1 - spread(1 - thicker), 0.8 * by.neg().clamp(min=0))
    return varied / varied.amax(dim=(2, 3), keepdim=True).clamp(min=0.1)  # a thin pen is not a faint one


def spread(digits: Tensor) -> Tensor:
    """The brightest of each pixel's 3 x 3 neighbours; five times as fast on a CPU as `F.max_pool2d`."""
    rows = F.pad(digits, (0, 0, 1, 1), mode="replicate")
    brightest = torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 2:]), digits)
    columns = F.pad(brightest, (1, 1, 0, 0), mode="replicate")
    return torch.maximum(torch.maximum(columns[..., :-2], columns[..., 2:]), brightest)
