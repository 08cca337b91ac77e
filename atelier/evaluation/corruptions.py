"""Digits changed as a hurried pen, a bad camera or a prankster might: the same pixels for every network.

After Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations"
(arXiv:1903.12261), and Mu and Gilmer 2019, "MNIST-C" (arXiv:1906.02337). Where a change has a direction or a pattern,
the seed decides it; a greater amount is then more of the same.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from atelier.data.drawing import BOX
from atelier.data.mnist import SIDE
from atelier.explain.perturbations import perturb


def corrupt(digit: np.ndarray, corruption: str, amount: float, seed: int) -> np.ndarray:
    """Change a digit.

    Args:
        digit: `uint8[28, 28]`.
        corruption: a key of CORRUPTIONS; what `amount` means says each function there.
        amount: 0 changes nothing.
        seed: at least 0.

    Returns:
        `uint8[28, 28]`.

    Raises:
        KeyError: for another corruption.
        ValueError: for a digit of another shape or type.
    """
    return CORRUPTIONS[corruption](digit, amount, seed)


def shift(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """In any direction. What leaves the picture is lost."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    return perturb(digit, shift=(pixels * np.cos(angle), pixels * np.sin(angle)))


def rotation(digit: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """Clockwise or anticlockwise."""
    return perturb(digit, rotation=degrees * np.random.default_rng(seed).choice([-1, 1]))


def smaller(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """By this share of its size, to whole pixels, about the middle of the picture."""
    small = resized(digit, 1 - share)
    margin = (SIDE - len(small)) // 2
    return np.pad(small, (margin, SIDE - len(small) - margin))


def larger(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """By this share of its size, to whole pixels, about the middle of the picture. What leaves the picture is lost."""
    large = resized(digit, 1 + share)
    margin = (len(large) - SIDE) // 2
    return large[margin : margin + SIDE, margin : margin + SIDE]


def resized(digit: np.ndarray, times: float) -> np.ndarray:
    """`uint8[side, side]`, the whole picture with a side so many times as long, to whole pixels."""
    side = round(SIDE * times)
    return np.array(Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR))


def thinner(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Strokes thinner by so much on each side."""
    return perturb(digit, thickness=-pixels)


def thicker(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Strokes thicker by so much on each side."""
    return perturb(digit, thickness=pixels)


def noise(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Gaussian; the standard deviation is a share of full brightness."""
    return perturb(digit, noise=share, seed=seed)


def blur(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Gaussian; the standard deviation in pixels."""
    return ndimage.gaussian_filter(digit.astype(np.float32), pixels).round().astype(np.uint8)


def occlusion(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """A square of blank paper of this side covers a part of the box that holds the ink."""
    border = (SIDE - BOX) / 2
    middle = np.random.default_rng(seed).uniform(border, SIDE - border, 2)  # stays where it is while the square grows
    top, left = np.round(middle - pixels / 2).astype(int)
    covered = digit.copy()
    covered[max(top, 0) : top + round(pixels), max(left, 0) : left + round(pixels)] = 0
    return covered


def inversion(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Blended with its negative: from 0.5 on, the ink is darker than the paper."""
    return ((1 - share) * digit + share * (255.0 - digit)).round().astype(np.uint8)


CORRUPTIONS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {
    "shift": shift,
    "rotation": rotation,
    "smaller": smaller,
    "larger": larger,
    "thinner": thinner,
    "thicker": thicker,
    "noise": noise,
    "blur": blur,
    "occlusion": occlusion,
    "inversion": inversion,
}
