"""Digits in other handwriting than MNIST's, for measurements and never for training.

`pen_strokes`: digits written stroke by stroke for this project, in 24 invented hands (thin, thick, tiny, in a corner,
tilted, shaky, …), each with its own shapes; none is a real person's handwriting.
`small_digits`: scikit-learn's `load_digits`, real handwriting at 8 x 8 pixels (E. Alpaydin and C. Kaynak 1998, "Optical
recognition of handwritten digits", UCI Machine Learning Repository, licence CC BY 4.0).
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.data.drawing import CANVAS, centre, from_polylines, rasterise

STROKES = Path(__file__).parent / "strokes.json"


@cache
def pen_strokes() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The digits of `strokes.json`, drawn and normalised in the same way as on the Draw page.

    Returns:
        images `uint8[N, 28, 28]`, labels `int64[N]`, and the name of each digit's hand.
    """
    drawings = json.loads(STROKES.read_text())
    images = [centre(rasterise(from_polylines(d["strokes"], d["width"]))) for d in drawings]
    return np.stack(images), np.array([d["label"] for d in drawings]), [d["hand"] for d in drawings]


@cache
def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, enlarged to the canvas and normalised.

    Returns:
        images `uint8[1797, 28, 28]`, labels `int64[1797]`.
    """
    from sklearn.datasets import load_digits  # its import takes a second

    small, labels = load_digits(return_X_y=True)
    grey = (small.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    enlarged = (Image.fromarray(digit).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC) for digit in grey)
    return np.stack([centre(np.asarray(digit)) for digit in enlarged]), labels.astype(np.int64)
