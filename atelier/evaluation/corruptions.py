"""Corruptions of digits, as a hurried pen or a bad camera makes them: the same pixels for every network.

After Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations"
(arXiv:1903.12261), and Mu and Gilmer 2019, "MNIST-C" (arXiv:1906.02337). The seed decides the
direction or the pattern of a corruption; a greater amount continues in the same direction.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from atelier.data.drawing import BOX
from atelier.data.mnist import SIDE
from atelier.explain.perturbations import perturb


def corrupt(digit: np.ndarray, corruption: str, amount: float, seed: int) -> np.ndarray:
    """Apply a corruption to a digit.

    Args:
        digit: `uint8[28, 28]`.
        corruption: a key of CORRUPTIONS; each function there defines its amount.
        amount: 0 changes nothing.
        seed: at least 0.

    Returns:
        `uint8[28, 28]`.

    Raises:
        KeyError: for an unknown corruption.
        ValueError: for a digit of another shape or type.
    """
    return CORRUPTIONS[corruption](digit, amount, seed)


def shift(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Shift in a random direction. Ink that leaves the image is lost."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    return perturb(digit, shift=(pixels * np.cos(angle), pixels * np.sin(angle)))


def rotation(digit: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """Rotate clockwise or anticlockwise, at random."""
    return perturb(digit, rotation=degrees * np.random.default_rng(seed).choice([-1, 1]))


def smaller(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Shrink about the centre by this share of the size, to whole pixels."""
    small = resize(digit, 1 - share)
    margin = (SIDE - len(small)) // 2
    return np.pad(small, (margin, SIDE - len(small) - margin))


def larger(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Enlarge about the centre by this share of the size, to whole pixels. Ink that leaves the image is lost."""
    large = resize(digit, 1 + share)
    margin = (len(large) - SIDE) // 2
    return large[margin : margin + SIDE, margin : margin + SIDE]


def resize(digit: np.ndarray, factor: float) -> np.ndarray:
    """The image with its side scaled by `factor`, to whole pixels: `uint8[side, side]`."""
    side = round(SIDE * factor)
    return np.array(Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR))


def thinner(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Make strokes thinner on each side."""
    return perturb(digit, thickness=-pixels)


def thicker(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Make strokes thicker on each side."""
    return perturb(digit, thickness=pixels)


def noise(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Add Gaussian noise; `share` is its standard deviation as a share of full brightness."""
    return perturb(digit, noise=share, seed=seed)


def blur(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Apply a Gaussian blur; `pixels` is its standard deviation."""
    return ndimage.gaussian_filter(digit.astype(np.float32), pixels).round().astype(np.uint8)


def occlusion(digit: np.ndarray, pixels: float, seed: int) -> np.ndarray:
    """Cover a part of the box that holds the ink with a black square of this side."""
    border = (SIDE - BOX) / 2
    middle = np.random.default_rng(seed).uniform(border, SIDE - border, 2)  # the same for every size
    top, left = np.round(middle - pixels / 2).astype(int)
    covered = digit.copy()
    covered[max(top, 0) : top + round(pixels), max(left, 0) : left + round(pixels)] = 0
    return covered


def inversion(digit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Blend with the negative: above 0.5, the ink is darker than the background."""
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
