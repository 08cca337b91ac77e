"""Perturbations of a digit, and the smallest one that changes a network's answer.

A digit is shifted, rotated, made thicker or thinner, covered with noise, or changed by the fast gradient sign method
(Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples", arXiv:1412.6572). That method
makes each pixel brighter or darker by the same amount, whichever makes the network less confident. The answer changes
although people hardly see a difference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import hypot
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from atelier.classifier import Classifier
from atelier.data.mnist import SIDE
from atelier.explain.hooks import as_input

PARTS = 8  # of the interval that is searched more finely
BATCH = 48  # digits at once: small, so that a search that succeeds early ends early
FARTHEST = 14  # pixels of a shift: half the image


# Changing a digit ----------------------------------------------------------------------------------------------------


def perturb(
    digit: np.ndarray,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
    thickness: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Change the thickness of a digit, then rotate it, shift it and add noise.

    Args:
        digit: `uint8[28, 28]`.
        shift: pixels to the right and down. Ink that leaves the image is lost.
        rotation: degrees clockwise about the centre of the image.
        thickness: pixels added to each side of a stroke (grey dilation); below 0, removed (erosion).
        noise: standard deviation of the Gaussian noise, as a share of full brightness.
        seed: of the noise. The same seed gives the same pattern, whatever its strength.

    Returns:
        `uint8[28, 28]`.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    digit = np.asarray(digit)
    if digit.shape != (SIDE, SIDE) or digit.dtype != np.uint8:
        raise ValueError(f"Expected uint8[28, 28]; this is {digit.dtype}{list(digit.shape)}.")
    pixels = thicken(digit.astype(np.float32), thickness)
    if rotation:
        pixels = ndimage.rotate(pixels, -rotation, reshape=False, order=1)
    if any(shift):
        pixels = ndimage.shift(pixels, (shift[1], shift[0]), order=1)
    if noise:
        pixels = pixels + 255 * noise * np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    return _to_uint8(pixels)


def thicken(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Set each pixel to the brightest (below 0: the darkest) within a disc of radius `amount`.

    Between whole radii, the two results are blended.
    """
    change = ndimage.grey_dilation if amount > 0 else ndimage.grey_erosion
    radius, part = divmod(abs(amount), 1)
    smaller, larger = (change(pixels, footprint=_disc(int(radius) + extra), mode="nearest") for extra in (0, 1))
    return (1 - part) * smaller + part * larger


def _disc(radius: int) -> np.ndarray:
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return down**2 + right**2 <= radius**2


def gradient_sign(classifier: Classifier, digit: np.ndarray) -> np.ndarray:
    """The sign of each pixel's change that makes a network less confident of its answer.

    Returns:
        `int8[28, 28]`, 1 brighter, -1 darker, 0 without effect.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    pixels = as_input(classifier, digit).requires_grad_()
    (logits,) = classifier.network(pixels)
    answer = logits.argmax()
    others = torch.cat([logits[:answer], logits[answer + 1 :]])
    # The gradient of cross-entropy has the same direction, but its length is proportional to 1 - p. In float32 it is 0
    # for confident answers.
    (gradient,) = torch.autograd.grad(others.logsumexp(0) - logits[answer], pixels)
    return gradient[0, 0].sign().to(torch.int8).cpu().numpy()


def fgsm_step(digit: np.ndarray, sign: np.ndarray, epsilon: float) -> np.ndarray:
    """Apply a step of the fast gradient sign method to a digit `uint8[28, 28]`.

    Args:
        sign: `int8[28, 28]`, see `gradient_sign`.
        epsilon: change of each pixel, as a share of full brightness.
    """
    return _to_uint8(digit + 255 * epsilon * sign.astype(np.float32))


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).round().astype(np.uint8)


# The smallest change -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Perturbation:
    """A kind of change with an amount, in one of several directions."""

    title: str
    measure: str  # definition of the amount
    unit: str  # a format of the amount
    candidates: list[tuple[float, Any]]  # amounts and directions, smallest first
    apply: Callable[[np.ndarray, Any, float], np.ndarray]  # digit, direction, amount to digit
    describe: Callable[[Any], str]  # a direction in words
    rounds: int = 3  # of the search; each searches the interval before the first amount with a flip more finely
    from_gradient: bool = False  # whether the network's gradient is the only direction

    @property
    def largest(self) -> str:
        """The largest amount that is tried, with its unit."""
        return self.unit.format(self.candidates[-1][0])


@dataclass(frozen=True)
class Flip:
    """A change that changes a network's answer."""

    size: str  # the amount with its unit, such as "3.2°"
    amount: float
    direction: str  # such as "clockwise"
    answer: int  # the new one
    digit: np.ndarray  # uint8[28, 28], changed


def _describe_shift(shift: tuple[int, int]) -> str:
    """Such as "3 to the right, 2 up"."""
    right, down = shift
    sides = [(right, "to the right" if right > 0 else "to the left"), (down, "down" if down > 0 else "up")]
    return ", ".join(f"{abs(pixels)} {side}" for pixels, side in sides if pixels)


# Whole pixels: a fraction blurs the digit, and networks react to the blur.
SHIFTS = sorted(
    (shift for shift in product(range(-FARTHEST, FARTHEST + 1), repeat=2) if 0 < hypot(*shift) <= FARTHEST),
    key=lambda shift: hypot(*shift),
)

PERTURBATIONS = {
    "shift": Perturbation(
        "Shift",
        "its length",
        "{:.3g} px",
        [(hypot(*shift), shift) for shift in SHIFTS],
        lambda digit, shift, length: perturb(digit, shift=shift),
        _describe_shift,
        rounds=1,  # there are no amounts in between
    ),
    "rotation": Perturbation(
        "Rotation",
        "about the centre of the image",
        "{:.1f}°",
        list(product(range(5, 181, 5), (1, -1))),
        lambda digit, sign, degrees: perturb(digit, rotation=sign * degrees),
        lambda sign: "clockwise" if sign > 0 else "anticlockwise",
    ),
    "thickness": Perturbation(
        "Thickness",
        "on each side of a stroke",
        "{:.2f} px",
        list(product(np.arange(1, 17) / 4, (1, -1))),
        lambda digit, sign, pixels: perturb(digit, thickness=sign * pixels),
        lambda sign: "thicker" if sign > 0 else "thinner",
    ),
    "noise": Perturbation(
        "Noise",
        "standard deviation, share of full brightness",
        "{:.1%}",
        list(product(np.arange(1, 21) / 20, range(8))),
        lambda digit, seed, deviation: perturb(digit, noise=deviation, seed=seed),
        lambda seed: f"pattern {1 + seed}",
    ),
    "gradient": Perturbation(
        "Gradient",
        "of each pixel, share of full brightness",
        "ε {:.3f}",
        list(product(np.arange(1, 33) / 32, (None,))),
        fgsm_step,
        lambda sign: "along the gradient",
        from_gradient=True,
    ),
}


def smallest_flip(classifier: Classifier, digit: np.ndarray, kind: str) -> Flip | None:
    """Search for the smallest change of a kind that changes a network's answer.

    All directions are tried with rising amounts. Once some change the answer, the interval between this amount and the
    previous one is searched in these directions, more and more finely. The search can miss a flip that ends before the
    next amount. A change that leaves a blank image does not count.

    Args:
        digit: `uint8[28, 28]`.
        kind: a key of PERTURBATIONS.

    Returns:
        None if no change up to the largest amount changes the answer.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    perturbation, flip, lower = PERTURBATIONS[kind], None, 0.0
    answer = classifier.predict(digit[None])[0]
    candidates = perturbation.candidates
    if perturbation.from_gradient:
        sign = gradient_sign(classifier, digit)
        candidates = [(amount, sign) for amount, _ in candidates]
    for _ in range(perturbation.rounds):
        flips = _first_flips(classifier, digit, perturbation, candidates, answer)
        if not flips:
            break
        flip, directions = flips[0][0], [direction for _, direction in flips]
        lower = max((amount for amount, _ in candidates if amount < flip.amount), default=lower)
        candidates = list(product(np.linspace(lower, flip.amount, PARTS + 1)[1:], directions))
    return flip


def _first_flips(
    classifier: Classifier,
    digit: np.ndarray,
    perturbation: Perturbation,
    candidates: list[tuple[float, Any]],
    answer: int,
) -> list[tuple[Flip, Any]]:
    """The flips with the smallest amount that changes the answer, each with its direction."""
    for start in range(0, len(candidates), BATCH):
        batch = candidates[start : start + BATCH]
        images = np.array([perturbation.apply(digit, direction, amount) for amount, direction in batch])
        flips = [
            (
                Flip(
                    perturbation.unit.format(amount),
                    float(amount),
                    perturbation.describe(direction),
                    int(new_answer),
                    image,
                ),
                direction,
            )
            for (amount, direction), new_answer, image in zip(batch, classifier.predict(images), images, strict=True)
            if new_answer != answer and image.any()
        ]
        if flips:
            return [(flip, direction) for flip, direction in flips if flip.amount == flips[0][0].amount]
    return []
