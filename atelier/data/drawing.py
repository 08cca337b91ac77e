"""From pen strokes on the canvas to a digit as MNIST stores it.

    canvas strokes --rasterise--> picture of any size --normalise--> 28 x 28

MNIST's authors scaled every digit to fit 20 x 20 pixels, with its proportions, and placed its centre of mass in the
centre of 28 x 28 (LeCun et al. 1998). `normalise` does the same: a tiny digit in a corner then looks like a large one
in the middle.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from atelier.data.mnist import SIDE

BOX = 20  # pixels, the square into which a digit's ink is fitted
CANVAS = 440  # pixels, height and width of the drawing canvas
PEN = 26  # pixels, width of the pen: a digit that fills most of the canvas has strokes about as wide as MNIST's
WIDE_CANVAS, WIDE_PEN = (880, 260), 18  # pixels, width and height of the canvas for numbers, and its pen
SCRIBBLE = 0.4  # share of the canvas under ink above which a drawing counts as a scribble


def rasterise(json_data: dict | None, height: int = CANVAS, width: int = CANVAS) -> np.ndarray:
    """Draw the canvas's strokes with the same pixels as the browser.

    Args:
        json_data: the canvas's drawing in Fabric.js's JSON. Each freehand stroke is an object of type "path"; moving,
            scaling, turning, skewing or flipping it is applied. Objects of other types are ignored; None is blank.
        height, width: of the canvas, in pixels.

    Returns:
        `uint8[height, width]`, ink 255 on 0, anti-aliased.
    """
    fine = 4  # draw larger, then average, which smooths the edges
    picture = Image.new("L", (width * fine, height * fine))
    pen = ImageDraw.Draw(picture)
    for stroke in paths(json_data):
        points = _sample(stroke["path"])
        matrix, origin, centre = _place(stroke)
        radius = float(stroke.get("strokeWidth", PEN)) / 2 - 0.25 / fine  # Pillow fills a bit beyond an outline
        starts, ends = points, points[1:] if len(points) > 1 else points
        for start, end in zip(starts, ends, strict=False):
            outline = _capsule(start, end, radius)
            on_canvas = (outline - origin) @ matrix.T + centre
            pen.polygon([tuple(p) for p in on_canvas * fine], fill=255)
    return np.asarray(picture.reduce(fine))


def to_polylines(json_data: dict | None) -> list[list[list[float]]]:
    """Convert the canvas's strokes to lists of [x, y] in canvas pixels, the format of `strokes.json`."""
    polylines = []
    for stroke in paths(json_data):
        points = _sample(stroke["path"])
        matrix, origin, centre = _place(stroke)
        polylines.append(((points - origin) @ matrix.T + centre).round(1).tolist())
    return polylines


def from_polylines(polylines: list[list[list[float]]], width: float = PEN) -> dict:
    """Convert lists of [x, y] to the canvas's JSON; `width` of the pen is in canvas pixels."""
    return {
        "objects": [
            {
                "type": "path",
                "path": [["M", *line[0]], *(["L", *point] for point in line[1:] or line)],
                "stroke": "#ffffff",
                "strokeWidth": width,
                "strokeLineCap": "round",
                "strokeLineJoin": "round",
                "fill": None,
            }
            for line in polylines
        ]
    }


def paths(json_data: dict | None) -> list[dict]:
    """The strokes in the canvas's JSON: its objects of type "path"."""
    objects = (json_data or {}).get("objects") or []
    return [o for o in objects if str(o.get("type", "")).lower() == "path" and o.get("path")]


def _sample(path: list[list]) -> np.ndarray:
    """The points `float[N, 2]` along an SVG path of moves (M), lines (L) and quadratic curves (Q)."""
    points: list[np.ndarray] = []
    for command, *numbers in path:
        end = np.array(numbers[-2:], dtype=float)
        if command == "Q":
            start, control = points[-1], np.array(numbers[:2], dtype=float)
            pieces = max(2, math.ceil(np.hypot(*(end - start)) / 3))  # a point every 3 pixels or closer
            t = np.linspace(0, 1, pieces + 1)[1:, None]
            points.extend((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)
        elif command in ("M", "L"):
            points.append(end)
    return np.array(points).reshape(-1, 2)


def _box(path: list[list]) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a path's box, as Fabric computes them.

    For a quadratic curve, Fabric takes the slightly larger box of the cubic curve whose two control points both equal
    the quadratic's one.
    """
    points: list[np.ndarray] = []
    t = np.linspace(0, 1, 33)[:, None]
    for command, *numbers in path:
        end = np.array(numbers[-2:], dtype=float)
        if command == "Q":
            start, control = points[-1], np.array(numbers[:2], dtype=float)
            points.extend((1 - t) ** 3 * start + 3 * t * (1 - t) * control + t**3 * end)
        elif command in ("M", "L"):
            points.append(end)
    return np.min(points, axis=0), np.max(points, axis=0)


def _place(stroke: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrix, origin and centre of an object: Fabric draws a point at `(point - origin) @ matrix.T + centre`."""
    low, high = _box(stroke["path"])
    origin = (low + high) / 2

    def number(name: str, default: float = 0.0) -> float:
        return float(stroke.get(name, default))

    angle, skew_x, skew_y = (math.radians(number(name)) for name in ("angle", "skewX", "skewY"))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    flip_x, flip_y = (-1 if stroke.get(name) else 1 for name in ("flipX", "flipY"))
    scale = np.diag([number("scaleX", 1) * flip_x, number("scaleY", 1) * flip_y])
    skew = np.array([[1, math.tan(skew_x)], [0, 1]]) @ np.array([[1, 0], [math.tan(skew_y), 1]])
    shape = scale @ skew
    if "left" not in stroke or "top" not in stroke:  # never moved
        return turn @ shape, origin, origin
    # `left` and `top` are the position of the corner `originX`, `originY` of the box that includes the pen's width.
    half = np.abs(shape) @ (high - low + number("strokeWidth", PEN)) / 2
    side = {"left": 1, "top": 1, "center": 0, "right": -1, "bottom": -1}
    offset = half * [side[stroke.get("originX", "left")], side[stroke.get("originY", "top")]]
    return turn @ shape, origin, np.array([number("left"), number("top")]) + turn @ offset


def _capsule(start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """The outline `float[50, 2]` of the line that a round pen draws from start to end."""
    dx, dy = end - start
    half_turn = math.atan2(dy, dx) + np.linspace(-np.pi / 2, np.pi / 2, 25)
    arc = radius * np.stack([np.cos(half_turn), np.sin(half_turn)], axis=1)
    return np.concatenate([end + arc, start - arc])


# Pictures --------------------------------------------------------------------------------------------------------


def normalise(gray: np.ndarray) -> np.ndarray | None:
    """Convert a picture of one digit to MNIST's format: cropped, fitted into 20 x 20, centred by mass in 28 x 28.

    Args:
        gray: `uint8[H, W]` of any size, ink bright on black. Pixels darker than a fiftieth of the brightest count as
            paper.

    Returns:
        `uint8[28, 28]`, its brightest pixel 255, or None if the picture is blank.
    """
    return centre(gray) if gray.max(initial=0) >= 32 else None


def centre(gray: np.ndarray) -> np.ndarray:
    """As `normalise`, for a picture with ink."""
    rows, columns = np.nonzero(gray > int(gray.max()) / 50)
    ink = gray[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    shrink = BOX / max(ink.shape)
    height, width = (max(1, round(side * shrink)) for side in ink.shape)
    smooth = Image.Resampling.BOX if shrink < 1 else Image.Resampling.BICUBIC
    digit = np.asarray(Image.fromarray(ink).resize((width, height), smooth), dtype=float)
    digit *= 255 / digit.max()

    # The centre of mass goes to row 14, column 14, by whole pixels, as in MNIST's own files.
    mass = digit.sum()
    top = round(SIDE / 2 - (digit.sum(axis=1) @ np.arange(height)) / mass)
    left = round(SIDE / 2 - (digit.sum(axis=0) @ np.arange(width)) / mass)
    top, left = np.clip([top, left], 0, [SIDE - height, SIDE - width])
    centred = np.zeros((SIDE, SIDE), dtype=np.uint8)
    centred[top : top + height, left : left + width] = digit.round()
    return centred


def objection(gray: np.ndarray, pen: float = PEN) -> str | None:
    """The reason why a drawing cannot be a digit and what to do, as visible text; None if there is no objection.

    Args:
        gray: `uint8[H, W]`, ink bright on black, as `rasterise` draws it.
        pen: width of the pen in pixels.
    """
    rows, columns = np.flatnonzero(gray.any(axis=1)), np.flatnonzero(gray.any(axis=0))
    if len(rows) and max(np.ptp(rows), np.ptp(columns)) < 2 * pen:
        return "This is only a dot. Draw a larger digit."
    if np.count_nonzero(gray) > SCRIBBLE * gray.size:
        return "Too much ink hides the digit. Press Clear and draw one digit."
    return None
