"""Scenes: pictures with several digits and a box around each, made from single digits at random.

A detector must find digits of any size, side by side, touching or overlapping. MNIST has no boxes, but here each digit
is placed by the code, so its box is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from atelier.data import mnist
from atelier.data.drawing import centre
from atelier.recipe import MOST_DIGITS

SHORT_SIDE = 112  # pixels, the shorter side of every scene
LONG_SIDE = 4 * SHORT_SIDE  # pixels, the most for the longer side
ASPECTS = (1.0, 1.5, 2.0, 3.0, 4.0)  # width to height
SHARES = (0.4, 0.2, 0.2, 0.1, 0.1)  # of scenes with each aspect in training: wide scenes take longer
SMALLEST = 20  # pixels, the least height of a digit
INK = 64  # of 255: pixels at least this bright belong to a digit
MOST_COVERED = 0.3  # share of a digit's box that another box may cover
SPECK = 0.15  # pieces of ink smaller than this share of the largest are ignored
EMPTY = 0.05  # share of scenes without a digit

Box = tuple[int, int, int, int]  # left, top, right, bottom in whole pixels


@dataclass(frozen=True)
class Scene:
    """A picture with its boxes and labels, from left to right."""

    picture: np.ndarray  # uint8[H, W], ink bright on black
    boxes: np.ndarray  # float32[K, 4], left, top, right, bottom of each digit's ink in pixels
    labels: np.ndarray  # int64[K], 0 to 9

    @property
    def reading(self) -> str:
        """The digits from left to right, such as "2026"."""
        return "".join(str(label) for label in self.labels)


def compose(images: np.ndarray, labels: np.ndarray, aspect: float, rng: np.random.Generator) -> Scene:
    """Place digits in a scene: half of the time in a row, as in a written number, else anywhere.

    Args:
        images: `uint8[K, 28, 28]`, K from 0 to MOST_DIGITS.
        labels: `int64[K]`.
        aspect: width to height; below 1 the scene is SHORT_SIDE wide, else SHORT_SIDE high.
        rng: decides sizes and places.

    Returns:
        A scene, without the digits for which there was no place.
    """
    height, width = round(SHORT_SIDE / min(aspect, 1)), round(SHORT_SIDE * max(aspect, 1))
    picture = np.zeros((height, width), np.uint8)
    inked = [crop(image) for image in images]
    in_row = rng.random() < 0.5
    places = row(inked, height, width, rng) if in_row else anywhere(inked, height, width, rng)
    placed = [(box, ink, label) for box, ink, label in zip(places, inked, labels, strict=True) if box is not None]
    sharpness = rng.uniform(1, 3)  # enlarged pixels have soft edges; drawings have hard ones
    for (left, top, right, bottom), ink, _ in placed:
        enlarged = Image.fromarray(ink).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        sharp = np.clip((np.asarray(enlarged, np.float32) - 127.5) * sharpness + 127.5, 0, 255).astype(np.uint8)
        area = picture[top:bottom, left:right]
        np.maximum(area, sharp, out=area)
    placed.sort(key=lambda digit: digit[0][0])
    boxes = np.array([box for box, _, _ in placed], np.float32).reshape(-1, 4)
    return Scene(picture, boxes, np.array([label for _, _, label in placed], np.int64))


def crop(image: np.ndarray) -> np.ndarray:
    """The part of a picture with ink; the whole picture if there is no ink."""
    rows, columns = np.flatnonzero((image >= INK).any(1)), np.flatnonzero((image >= INK).any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else image


def row(inked: list[np.ndarray], height: int, width: int, rng: np.random.Generator) -> list[Box | None]:
    """Boxes side by side, of similar size, on one line; neighbours apart, touching or slightly overlapping."""
    if not inked:
        return []
    size = rng.uniform(0.35, 0.9) * height
    sizes = [size * rng.uniform(0.85, 1.15) for _ in inked]
    widths = [h * ink.shape[1] / ink.shape[0] for h, ink in zip(sizes, inked, strict=True)]
    closeness = rng.uniform(-0.15, 0.4)  # of the size: the gap between neighbours
    gaps = [size * (closeness + rng.uniform(-0.05, 0.05)) for _ in inked[1:]]
    shrink = min(1, 0.96 * width / max(sum(widths) + sum(gaps), 1), 0.96 * height / max(sizes))
    left = rng.uniform(0, width - shrink * (sum(widths) + sum(gaps)))
    middle = rng.uniform(0.5, 0.5 + 0.5 * (1 - shrink * max(sizes) / height)) * height
    middle = middle if rng.random() < 0.5 else height - middle
    places: list[Box | None] = []
    for index, (h, w) in enumerate(zip(sizes, widths, strict=True)):
        top = middle - shrink * h / 2 + rng.uniform(-0.05, 0.05) * shrink * h
        places.append(_whole_pixels(left, top, shrink * w, shrink * h, height, width, places))
        left += shrink * (w + (gaps[index] if index < len(gaps) else 0))
    return places


def anywhere(inked: list[np.ndarray], height: int, width: int, rng: np.random.Generator) -> list[Box | None]:
    """Boxes of random sizes at random places."""
    places: list[Box | None] = []
    typical = (height * width / max(len(inked), 1)) ** 0.5
    for ink in inked:
        place = None
        for _ in range(20):
            h = min(rng.uniform(0.35, 1.0) * typical, 0.95 * height)
            w = h * ink.shape[1] / ink.shape[0]
            if w > 0.95 * width:
                h, w = h * 0.95 * width / w, 0.95 * width
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            place = _whole_pixels(left, top, w, h, height, width, places)
            if place is not None:
                break
        places.append(place)
    return places


def _whole_pixels(
    left: float, top: float, w: float, h: float, height: int, width: int, others: list[Box | None]
) -> Box | None:
    """The box in whole pixels; None if it is too small, leaves the scene or covers too much of another."""
    left, top = round(left), round(top)
    right, bottom = left + max(round(w), 3), top + round(h)
    if h < SMALLEST or left < 0 or top < 0 or right > width or bottom > height:
        return None
    box = (left, top, right, bottom)
    return None if any(_covered(box, other) > MOST_COVERED for other in others if other) else box


def _covered(a: Box, b: Box) -> float:
    """The intersection of two boxes as a share of the smaller one."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def pieces(picture: np.ndarray) -> list[tuple[Box, np.ndarray]]:
    """The connected pieces of ink, from left to right: the digits, as long as none touch.

    Args:
        picture: `uint8[H, W]`, ink bright on black.

    Returns:
        for each piece its box, and the piece alone as a digit `uint8[28, 28]`. Specks are ignored.
    """
    numbered, _ = ndimage.label(picture >= INK, structure=np.ones((3, 3)))
    boxed = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbered), start=1):
        ink = np.where(numbered[rows, columns] == number, picture[rows, columns], 0)
        boxed.append(((columns.start, rows.start, columns.stop, rows.stop), ink))
    largest = max((max(ink.shape) for _, ink in boxed), default=0)
    boxed = [(box, ink) for box, ink in boxed if max(ink.shape) >= SPECK * largest]
    return [(box, centre(np.pad(ink, 1))) for box, ink in sorted(boxed, key=lambda piece: piece[0][0])]


def share_out(count: int, rng: np.random.Generator, most: int = MOST_DIGITS) -> Iterator[slice]:
    """Split `count` digits into scenes of 1 to `most`, with an empty scene in between now and then."""
    start = 0
    while start < count:
        if rng.random() < EMPTY:
            yield slice(start, start)
        end = min(start + int(rng.integers(1, most + 1)), count)
        yield slice(start, end)
        start = end


def random_scene(split: str, rng: np.random.Generator, digits: int | None = None) -> Scene:
    """A scene of digits drawn from a split (see `mnist.load`); `digits` of them, or 1 to MOST_DIGITS.

    Raises:
        ValueError: for more than MOST_DIGITS, because there might be no place for them.
    """
    if digits is not None and not 0 <= digits <= MOST_DIGITS:
        raise ValueError(f"A scene holds 0 to {MOST_DIGITS} digits, not {digits}.")
    images, labels = mnist.load(split)
    chosen = rng.integers(len(images), size=rng.integers(1, MOST_DIGITS + 1) if digits is None else digits)
    while True:
        scene = compose(images[chosen], labels[chosen], rng.choice(ASPECTS), rng)
        if len(scene.labels) == len(chosen):  # there was a place for each
            return scene


@cache
def measuring_scenes(count: int = 1000) -> list[Scene]:
    """The fixed scenes of test digits with which detectors are measured."""
    rng = np.random.default_rng(2015)
    images, labels = mnist.load("test")
    scenes = []
    for _ in range(count):
        digits = 0 if rng.random() < EMPTY else rng.integers(1, MOST_DIGITS + 1)
        chosen = rng.integers(len(images), size=digits)
        scenes.append(compose(images[chosen], labels[chosen], rng.choice(ASPECTS), rng))
    return scenes
