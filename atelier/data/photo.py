"""From an image file or a photo of a digit on paper to ink, bright on black.

Paper in a photo is rarely white: lamps and shadows make it brighter here and darker there. But a pen stroke is narrow
and a shadow is wide. Each place is therefore compared with a copy of the picture in which everything narrower than a
thick stroke is smoothed away (the "top-hat" of mathematical morphology; Serra 1982).
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from atelier.data.drawing import centre
from atelier.data.mnist import SIDE

MEGAPIXELS = 40  # larger images are refused before they are decoded
WORKING_SIZE = 640  # pixels: the longer side of the picture in which ink is searched
ENOUGH = (2 * WORKING_SIZE, 2 * WORKING_SIZE)  # pixels: larger pictures are reduced before any arithmetic
WIDEST_STROKE = 160  # pixels, at WORKING_SIZE
CONTRAST = 16  # grey levels of 255 between ink and paper, at least


class PhotoError(ValueError):
    """A file without a readable digit; the message gives the reason and what to do."""


def read_digit(content: bytes) -> np.ndarray:
    """Find the digit in an image file.

    Args:
        content: the file's bytes, in any format that Pillow reads; dark ink on light paper or the other way round.
            An image of 28 x 28 pixels counts as a digit in MNIST's own format.

    Returns:
        `uint8[28, 28]`, ink bright on black.

    Raises:
        PhotoError: if it is no image, too large, or shows no ink.
    """
    gray = _open(content)
    if gray.shape == (SIDE, SIDE):
        border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
        digit = 255 - gray if np.median(border) > 127 else gray
        if np.ptp(digit) < CONTRAST:
            raise PhotoError("This image is blank. Choose one that shows a digit.")
        return digit
    return centre(find_ink(gray))


def read_scene(content: bytes) -> np.ndarray:
    """Find the ink in an image file, such as a number of several digits.

    Args:
        content: as `read_digit` takes it.

    Returns:
        `uint8[H, W]`, ink bright on black, cut to the ink and a margin around it.

    Raises:
        PhotoError: if it is no image, too large, or shows no ink.
    """
    ink = find_ink(_open(content))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    margin = max(8, int(np.ptp(rows)) // 5)
    return np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], margin)


def _open(content: bytes) -> np.ndarray:
    """Decode an image to `uint8[H, W]`, upright, with a contrasting ground behind transparent parts."""
    too_large = f"This image has more than {MEGAPIXELS} megapixels. Make it smaller, or cut out the digit."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            file = Image.open(io.BytesIO(content))
        if file.width * file.height > MEGAPIXELS * 1_000_000:
            raise PhotoError(too_large)
        file.draft("L", (WORKING_SIZE, WORKING_SIZE))  # the JPEG decoder skips details that are not needed
        picture: Image.Image = ImageOps.exif_transpose(file)
        if picture.has_transparency_data:
            picture = picture.convert("LA")
            picture.thumbnail(ENOUGH)
            ink, opacity = (np.asarray(channel, dtype=float) for channel in picture.split())
            ground = 255.0 if (ink * opacity).sum() < 127 * opacity.sum() else 0.0
            gray = ink * opacity / 255 + ground * (1 - opacity / 255)
            return gray.round().astype(np.uint8)
        if picture.mode.startswith(("I", "F")):  # 16 bits or more: stretch to 8
            picture = picture.convert("F")
            picture.thumbnail(ENOUGH)
            deep = np.asarray(picture)
            return ((deep - deep.min()) * (255 / max(np.ptp(deep), 1))).astype(np.uint8)
        return np.asarray(picture.convert("L"))
    except Image.DecompressionBombError:
        raise PhotoError(too_large) from None
    except UnidentifiedImageError:
        raise PhotoError("This file is not an image. Choose a PNG, JPEG or WebP file.") from None
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError("This image is damaged or incomplete. Save it or take the photo again.") from None


def find_ink(gray: np.ndarray) -> np.ndarray:
    """Separate ink from paper under uneven light.

    Args:
        gray: `uint8[H, W]`, a digit darker or brighter than its surroundings.

    Returns:
        `uint8[H', W']`, ink bright on black, the longer side WORKING_SIZE pixels.

    Raises:
        PhotoError: if nothing stands out like a pen stroke.
    """
    scale = WORKING_SIZE / max(gray.shape)
    size = [max(1, round(side * scale)) for side in reversed(gray.shape)]
    smooth = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    light = ndimage.gaussian_filter(np.asarray(Image.fromarray(gray).resize(size, smooth), dtype=float), 1.5)

    evidence, ink = max((_narrow_and_bright(light), _narrow_and_bright(255 - light)), key=lambda pair: pair[0])
    if evidence == 0:
        raise PhotoError("No pen stroke is visible in this image. Use a dark pen on light paper and move closer.")
    return ink


def _narrow_and_bright(light: np.ndarray) -> tuple[float, np.ndarray]:
    """Find strokes brighter than their surroundings.

    Bright patches also lie inside a dark 0, or between a digit and a shadow. But a little further out, a patch is
    surrounded by paper of its own brightness, and ink is not; ink also reaches further.

    Returns:
        how much the strokes look like ink (0: not at all), and the strokes `uint8[H, W]`.
    """
    difference = light - ndimage.grey_opening(light, (WIDEST_STROKE, WIDEST_STROKE))
    threshold = _otsu(difference)
    marks = _marks(difference > threshold)
    full = np.median(difference[marks]) if marks.any() else 0
    if full < CONTRAST:
        return 0.0, marks.astype(np.uint8)
    distance = ndimage.distance_transform_edt(~marks)
    around = light[(distance > 10) & (distance < WIDEST_STROKE / 2)]
    contrast = np.median(light[marks]) - np.median(around) if around.size else 0
    rows, columns = np.nonzero(marks)
    reach = np.hypot(np.ptp(rows), np.ptp(columns))
    strength = np.clip((difference - threshold / 2) / (full - threshold / 2), 0, 1) * (distance <= 3)
    return float(max(contrast, 0) / full * reach), (255 * strength).astype(np.uint8)


def _otsu(values: np.ndarray) -> float:
    """The best threshold between two groups of values (Otsu 1979, IEEE Trans. Systems, Man, Cybernetics 9(1))."""
    if np.ptp(values) == 0:
        return float(values.max())
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[np.nanargmax(between)])


def _marks(ink: np.ndarray) -> np.ndarray:
    """Keep the connected pieces that can be strokes of one digit; drop specks and pieces that touch the edge."""
    labels, count = ndimage.label(ink, structure=np.ones((3, 3)))
    if count == 0:
        return ink
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    inside = areas.copy()
    inside[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    if inside.max() < 0.1 * areas.max() and inside.max() < 100:  # the digit itself touches the edge
        inside = areas
    return np.isin(labels, np.flatnonzero(inside >= max(0.05 * inside.max(), 20)))
