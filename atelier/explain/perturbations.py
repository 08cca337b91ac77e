"""What would change a network's mind: a digit moved, turned, thickened, covered with noise, or changed against the
network on purpose, by as little as it takes.

The last is a step of the fast gradient sign method (Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing
adversarial examples", arXiv:1412.6572): each pixel becomes a little brighter or darker, whichever makes the network
less sure of its answer. The paper's point: answers flip while people hardly see a difference.
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
from atelier.explain.hooks import as_input

PARTS = 8  # of the stretch that is searched more finely
BATCH = 48  # digits read at once: a search that succeeds early ends early; all directions of six amounts, or more
FARTHEST = 14  # pixels of a shift: half the picture


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
    """A digit, first thickened, then turned, then moved, then covered with noise.

    Args:
        digit: `uint8[28, 28]`.
        shift: pixels to the right and down. What leaves the picture is lost.
        rotation: degrees clockwise about the middle of the picture.
        thickness: pixels added to each side of a stroke (grey dilation); below 0 taken away (erosion).
        noise: standard deviation of what is added to each pixel, as a share of full brightness. The same seed is the
            same pattern, stronger or fainter.

    Returns:
        `uint8[28, 28]`.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    digit = np.asarray(digit)
    if digit.shape != (28, 28) or digit.dtype != np.uint8:
        raise ValueError(f"Expected uint8[28, 28]; this is {digit.dtype}{list(digit.shape)}.")
    pixels = thicken(digit.astype(np.float32), thickness)
    if rotation:
        pixels = ndimage.rotate(pixels, -rotation, reshape=False, order=1)
    if any(shift):
        pixels = ndimage.shift(pixels, (shift[1], shift[0]), order=1)
    if noise:
        pixels = pixels + 255 * noise * np.random.default_rng(seed).standard_normal((28, 28))
    return _bytes(pixels)


def thicken(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Each pixel becomes the brightest (below 0: the darkest) within a disc of radius `amount`; between whole radii it
    is blended."""
    change = ndimage.grey_dilation if amount > 0 else ndimage.grey_erosion
    whole, part = divmod(abs(amount), 1)
    discs = [_disc(int(whole) + more) for more in (0, 1)]
    thin, thick = (change(pixels, footprint=disc, mode="nearest") for disc in discs)
    return (1 - part) * thin + part * thick


def _disc(radius: int) -> np.ndarray:
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return down**2 + right**2 <= radius**2


def gradient_sign(classifier: Classifier, digit: np.ndarray) -> np.ndarray:
    """Which way to change each pixel to make a network less sure of its answer: `int8[28, 28]`, 1 brighter, -1 darker,
    0 where it makes no difference.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    pixels = as_input(classifier, digit).requires_grad_()
    (logits,) = classifier.network(pixels)
    said = logits.argmax()
    others = torch.cat([logits[:said], logits[said + 1 :]])
    # The gradient of cross-entropy points the same way, but is (1 - p) times as long: nothing is left of it in float32
    # when the network is sure, as it mostly is.
    (gradient,) = torch.autograd.grad(others.logsumexp(0) - logits[said], pixels)
    return gradient[0, 0].sign().to(torch.int8).cpu().numpy()


def step(digit: np.ndarray, sign: np.ndarray, epsilon: float) -> np.ndarray:
    """A digit `uint8[28, 28]` after a step of the fast gradient sign method: each pixel is changed by `epsilon`, a
    share of full brightness, to the side that `sign` says."""
    return _bytes(digit + 255 * epsilon * sign.astype(np.float32))


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).round().astype(np.uint8)


# Searching the smallest change ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A way to change a digit by an amount, in one of several directions."""

    title: str
    measure: str  # of what the amount is
    unit: str  # a format of the amount
    rounds: int  # of the search: over the whole range, then between the last amount that did not flip and the first
    directions: dict[str, Any]  # by what they are called
    tries: list[tuple[float, str]]  # amounts and directions, smallest first
    change: Callable[[np.ndarray, Any, float], np.ndarray]  # digit, direction, amount to digit


@dataclass(frozen=True)
class Flip:
    """The smallest change found that flips an answer."""

    size: str  # the amount with its unit, such as "3.2°"
    amount: float
    direction: str  # such as "clockwise"
    answer: int  # the new one
    digit: np.ndarray  # uint8[28, 28], changed


def _way(right: int, down: int) -> str:
    """A shift in words, such as "3 to the right, 2 up"."""
    sides = [(right, "to the right" if right > 0 else "to the left"), (down, "down" if down > 0 else "up")]
    return ", ".join(f"{abs(pixels)} {side}" for pixels, side in sides if pixels)


# Whole pixels: less than one blurs the digit, and networks answer to that, not to the shift.
SHIFTS = [(right, down) for right in range(-FARTHEST, FARTHEST + 1) for down in range(-FARTHEST, FARTHEST + 1)]
SHIFTS = sorted((shift for shift in SHIFTS if 0 < hypot(*shift) <= FARTHEST), key=lambda shift: hypot(*shift))
TURNS = {"clockwise": 1, "anticlockwise": -1}
SIDES = {"thicker": 1, "thinner": -1}
PATTERNS = {f"pattern {1 + seed}": seed for seed in range(8)}

KINDS = {
    "shift": Kind(
        "Shift",
        "its length",
        "{:.3g} px",
        1,  # there are no amounts in between
        {_way(*shift): shift for shift in SHIFTS},
        [(hypot(*shift), _way(*shift)) for shift in SHIFTS],
        lambda digit, shift, length: perturb(digit, shift=shift),
    ),
    "rotation": Kind(
        "Rotation",
        "about the middle of the picture",
        "{:.1f}°",
        3,
        TURNS,
        list(product(range(5, 181, 5), TURNS)),
        lambda digit, turn, amount: perturb(digit, rotation=turn * amount),
    ),
    "thickness": Kind(
        "Thickness",
        "on each side of a stroke",
        "{:.2f} px",
        3,
        SIDES,
        list(product(np.arange(1, 17) / 4, SIDES)),
        lambda digit, side, amount: perturb(digit, thickness=side * amount),
    ),
    "noise": Kind(
        "Noise",
        "standard deviation, share of full brightness",
        "{:.1%}",
        3,
        PATTERNS,
        list(product(np.arange(1, 21) / 20, PATTERNS)),
        lambda digit, seed, amount: perturb(digit, noise=amount, seed=seed),
    ),
    "gradient": Kind(
        "Gradient",
        "of each pixel, share of full brightness",
        "ε {:.3f}",
        3,
        {},  # the network tells its only one
        list(product(np.arange(1, 33) / 32, ["by its gradient"])),
        step,
    ),
}


def smallest_flip(classifier: Classifier, digit: np.ndarray, kind: str) -> Flip | None:
    """Search the smallest change of a kind that makes a network answer otherwise.

    All directions are tried with rising amounts. Once some flip the answer, the stretch between this amount and the
    one before is searched in these, finer and finer. What flips the answer and lets it return between two amounts of
    `KINDS[kind].tries` can be missed. Nothing that leaves a blank picture counts.

    Args:
        digit: `uint8[28, 28]`.
        kind: a key of KINDS.

    Returns:
        None if nothing up to the last amount flips the answer.

    Raises:
        ValueError: for a digit of another shape or type.
    """
    way, flip, before = KINDS[kind], None, 0.0
    said = classifier.predict(digit[None])[0]
    tries, directions = way.tries, way.directions or {"by its gradient": gradient_sign(classifier, digit)}
    for _ in range(way.rounds):
        flips = _first_flips(classifier, digit, way, directions, tries, said)
        if not flips:
            break
        flip = flips[0]
        before = max((amount for amount, _ in tries if amount < flip.amount), default=before)
        tries = list(product(np.linspace(before, flip.amount, PARTS + 1)[1:], [flip.direction for flip in flips]))
    return flip


def _first_flips(
    classifier: Classifier,
    digit: np.ndarray,
    way: Kind,
    directions: dict[str, Any],
    tries: list[tuple[float, str]],
    said: int,
) -> list[Flip]:
    """The flips of the first amount that flips the answer in any direction."""
    for start in range(0, len(tries), BATCH):
        tried = tries[start : start + BATCH]
        changed = np.array([way.change(digit, directions[direction], amount) for amount, direction in tried])
        flips = [
            Flip(way.unit.format(amount), float(amount), direction, int(answer), picture)
            for (amount, direction), answer, picture in zip(tried, classifier.predict(changed), changed, strict=True)
            if answer != said and picture.any()  # of a blank picture nobody asks
        ]
        if flips:
            return [flip for flip in flips if flip.amount == flips[0].amount]
    return []
