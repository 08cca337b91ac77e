"""One digit or many: when does a detector pay?

The lab report calls Faster R-CNN powerful, but overkill for one digit. Without a detector, a number can be split into
connected pieces of ink, and a plain convolutional network reads each piece: fast, and correct as long as digits do not
touch. Here both read the same numbers of one to six test digits: apart, pushed together until their ink touches, and
pushed further. A number counts as correct if every digit is, in order. The time is the median for one number, from the
picture to the reading.

200 numbers of each kind; the quick version has 40.
"""

import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from PIL import Image
from plotly.graph_objects import Figure, Scatter

from atelier.data import mnist, scenes
from atelier.data.scenes import Scene
from atelier.evaluation.significance import wilson
from atelier.figures import sweeps
from atelier.recipe import MOST_DIGITS
from atelier.studies.study import NETWORK, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS, Family, of_family

# Shares of the narrower digit's width: how far two digits are pushed together after their ink touches; below 0, the gap
# between their boxes.
OVERLAPS = (-0.25, 0.0, 0.1, 0.2, 0.3, 0.4)
INK, SHARPNESS = 64, 2.0  # pixels, the height of a digit; as scenes have it on average
HEIGHT = 720  # pixels of the figure
SCORE = 0.5  # detections with less do not count
WORTH = 0.05  # a detector pays if it reads this share more of the numbers correctly


def readers() -> tuple[str, str]:
    """The network that reads pieces of ink, the first convolutional one, and the detector."""
    return of_family(Family.CONVOLUTIONAL)[0], of_family(Family.DETECTOR)[0]


def titles() -> dict[str, str]:
    pieces, detector = readers()
    return {pieces: f"{MODELS[pieces].title} on pieces", detector: MODELS[detector].title}


def points(quick: bool) -> list[Point]:
    return [
        {"network": network, "digits": digits, "overlap": overlap, "scenes": 40 if quick else 200}
        for digits in range(1, MOST_DIGITS + 1)
        for overlap in (OVERLAPS if digits > 1 else OVERLAPS[:1])
        for network in readers()
    ]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.studies import trial

    classifier = trial.shipped(point["network"], device)
    correct, times = 0, []
    for number in range(point["scenes"]):
        scene = numbered(number, point["digits"], point["overlap"])
        started = time.perf_counter()
        if MODELS[point["network"]].family is Family.DETECTOR:
            detections = classifier.detect(scene.picture, SCORE)
        else:
            detections = classifier.read_pieces(scene.picture)
        times.append(1000 * (time.perf_counter() - started))
        correct += detections.reading == scene.reading
        if number % 20 == 0:
            yield None
    yield point | {"reading_accuracy": correct / len(times), "milliseconds": float(np.median(times))}


def numbered(number: int, digits: int, overlap: float) -> Scene:
    """The scene with this number of its kind: the same digits for every network and every overlap."""
    images, labels = mnist.load("test")
    chosen = np.random.default_rng([digits, number]).integers(len(images), size=digits)
    return in_a_row(images[chosen], labels[chosen], overlap)


def in_a_row(images: np.ndarray, labels: np.ndarray, overlap: float) -> Scene:
    """Digits side by side, all of one height.

    Args:
        images: `uint8[K, 28, 28]`, K at least 1.
        labels: `int64[K]`.
        overlap: as in OVERLAPS.

    Returns:
        a scene as high as those the detector was trained on.
    """
    inked = [enlarged(scenes.crop(image)) for image in images]
    widths = [ink.shape[1] for ink in inked]
    steps = [step(*neighbours, overlap) for neighbours in pairwise(inked)]
    lefts = np.cumsum([0, *steps])
    length = lefts[-1] + widths[-1]
    picture = np.zeros((scenes.SHORT_SIDE, max(scenes.SHORT_SIDE, length + INK // 2)), np.uint8)
    lefts += (picture.shape[1] - length) // 2
    top = (scenes.SHORT_SIDE - INK) // 2
    for left, ink in zip(lefts, inked, strict=True):
        area = picture[top : top + INK, left : left + ink.shape[1]]
        np.maximum(area, ink, out=area)
    boxes = np.stack([lefts, np.full_like(lefts, top), lefts + widths, np.full_like(lefts, top + INK)], axis=1)
    return Scene(picture, boxes.astype(np.float32), labels)


def step(before: np.ndarray, after: np.ndarray, overlap: float) -> int:
    """The number of columns from a digit `uint8[INK, W]` to its neighbour; at least one, which keeps their order."""
    start = before.shape[1] if overlap < 0 else touching(before, after)
    return max(1, start - round(overlap * min(before.shape[1], after.shape[1])))


def touching(before: np.ndarray, after: np.ndarray) -> int:
    """The number of columns from a digit to a neighbour that is moved towards it until their ink touches.

    Corners count, as in `scenes.pieces`.
    """
    far = before.shape[1] + after.shape[1]  # a row without ink touches nothing
    black, white = before < scenes.INK, after < scenes.INK
    last = np.where(black.all(1), -far, before.shape[1] - 1 - (~black)[:, ::-1].argmax(1))
    first = np.where(white.all(1), far, (~white).argmax(1))
    padded = np.pad(first, 1, constant_values=far)
    nearest = np.minimum.reduce([padded[:-2], padded[1:-1], padded[2:]])  # in this row and those above and below
    return int((last - nearest).max()) + 1


def enlarged(ink: np.ndarray) -> np.ndarray:
    """A cropped digit, INK pixels high and with edges as sharp as in scenes."""
    width = max(3, round(INK * ink.shape[1] / ink.shape[0]))
    soft = np.asarray(Image.fromarray(ink).resize((width, INK), Image.Resampling.BILINEAR), np.float32)
    return np.clip((soft - 127.5) * SHARPNESS + 127.5, 0, 255).astype(np.uint8)


# Findings ------------------------------------------------------------------------------------------------------------


ANSWERS = {
    "always": "Always, even for one digit",
    "several": "As soon as there are several digits",
    "touching": "Only when digits touch or overlap",
    "never": "Never",
}
COUNTS = ["correct_pieces", "scenes_pieces", "correct_detector", "scenes_detector"]


def findings(table: pd.DataFrame) -> Findings:
    """From which kind of number on a detector pays, from one digit to digits that overlap most."""
    table = table.assign(correct=(table.reading_accuracy * table.scenes).round().astype(int))
    pieces, detector = (table[table.network == network] for network in readers())
    both = pieces.merge(detector, on=["digits", "overlap"], suffixes=("_pieces", "_detector"))
    if both.empty:
        return Findings(None, ("No numbers have been read by both networks yet.",))
    counts = both.groupby([both.digits > 1, "overlap"])[COUNTS].sum()
    kinds = [(*kind(*place), of_kind) for place, of_kind in counts.iterrows()]
    paying = [each for each in kinds if pays(each[2])]
    answer: str | None
    answer, name, first = [*paying, kinds[-1]][0]
    start = f"A detector is worth its time from {name} on."
    if not paying:
        start = f"A detector is not worth its time, even with {name}."
        answer = "never" if answer == "touching" else None
    cnn, title = (MODELS[network].title for network in readers())
    fewest = both.sort_values(["digits", "overlap"]).iloc[0]
    digits = "one digit" if fewest.digits == 1 else f"{fewest.digits} digits"
    sentences = (
        f"For {digits}, {title} takes {fewest.milliseconds_detector / fewest.milliseconds_pieces:.1f} times as long "
        f"as the {cnn}.",
        start,
        f"With {name}, {title} reads {sweeps.percent(share(first, 'detector'))} of the numbers correctly.",
        f"The {titles()[readers()[0]]} reads {sweeps.percent(share(first, 'pieces'))}.",
    )
    return Findings(answer, sentences)


def kind(is_several: bool, overlap: float) -> tuple[str, str]:
    """A kind of number: the answer if a detector pays from it on, and its name."""
    if not is_several:
        return "always", "one digit"
    if overlap < 0:
        return "several", "several separate digits"
    return "touching", f"digits that overlap by {overlap:.0%} of their width" if overlap else "touching digits"


def share(counts: pd.Series, reader: str) -> float:
    return counts[f"correct_{reader}"] / counts[f"scenes_{reader}"]


def pays(counts: pd.Series) -> bool:
    """Whether a detector reads WORTH more of the numbers correctly, and the 95% intervals do not overlap."""
    _, high = wilson(counts.correct_pieces, counts.scenes_pieces)
    low, _ = wilson(counts.correct_detector, counts.scenes_detector)
    gain = round(share(counts, "detector") - share(counts, "pieces"), 9)  # in binary, 0.95 - 0.9 is below 0.05
    return gain >= WORTH and low > high


def figure(table: pd.DataFrame) -> Figure:
    panels = [
        "<b>Separate digits</b>",
        "<b>Closer and closer</b>, 2 digits or more",
        "<b>Milliseconds for one number</b>",
    ]
    figure = sweeps.subplots(
        panels, 1, "When is a detector worth its time?", "Numbers read correctly · bottom: time", HEIGHT
    )
    for network in sweeps.networks(table):
        rows = table[table.network == network]
        apart = rows[rows.overlap < 0].sort_values("digits")
        closer = (
            rows[rows.digits > 1]
            .groupby("overlap", as_index=False)[["reading_accuracy", "scenes"]]
            .agg({"reading_accuracy": "mean", "scenes": "sum"})
        )
        tooltip = "<b>%{fullData.name}</b>: %{y:.1f} ms<extra></extra>"
        time = sweeps.line(network, apart.digits, apart.milliseconds, name=titles()[network], hovertemplate=tooltip)
        figure.add_trace(line(network, apart.digits, apart), row=1, col=1)
        figure.add_trace(line(network, closer.overlap.map(short), closer).update(showlegend=False), row=2, col=1)
        figure.add_trace(time.update(showlegend=False), row=3, col=1)
    for row in (1, 3):
        figure.update_xaxes(title_text="digits", tickvals=list(range(1, MOST_DIGITS + 1)), row=row)
    figure.update_xaxes(title_text="overlap", type="category", row=2)
    figure.update_yaxes(tickformat="~%", row=1)
    figure.update_yaxes(tickformat="~%", range=[0, 1.03], row=2)
    return figure.update_yaxes(rangemode="tozero", ticksuffix=" ms", row=3)


def short(overlap: float) -> str:
    """The label of an overlap on an axis."""
    return "apart" if overlap < 0 else f"{overlap:.0%}" if overlap else "touching"


def line(network: str, x: pd.Series, read: pd.DataFrame) -> Scatter:
    """The share of numbers that a network reads correctly, with 95% intervals."""
    correct = (read.reading_accuracy * read.scenes).round().astype(int)
    lows, highs = np.transpose([wilson(*pair) for pair in zip(correct, read.scenes, strict=True)]).reshape(2, -1)
    return sweeps.line(
        network,
        x,
        read.reading_accuracy,
        error_y={"array": highs - read.reading_accuracy, "arrayminus": read.reading_accuracy - lows, "thickness": 2},
        name=titles()[network],
        customdata=np.stack([lows, highs, read.scenes], axis=1),
        hovertemplate="<b>%{fullData.name}</b>, %{x}: %{y:.1%} of %{customdata[2]:,} numbers correct<br>"
        "95% interval: %{customdata[0]:.1%} to %{customdata[1]:.1%}<extra></extra>",
    )


STUDY = Study(
    name="one_or_many",
    title="One digit or many",
    question="When is a detector worth its time?",
    choices=ANSWERS,
    method=f"Without a detector, the {MODELS[readers()[0]].title} reads one connected piece of ink after the other. A "
    "detector is worth its time if it reads 5 percentage points more of the numbers correctly. The 95% intervals must "
    "be apart. Both read the same 200 numbers of each kind (quick: 40).",
    columns={
        "network": NETWORK,
        "digits": Column("Digits", "positive"),
        "overlap": Column("Overlap", help="Share of a digit's width; below 0: a gap.", format="%.2f"),
        "scenes": Column("Numbers", "positive"),
        "reading_accuracy": Column("Numbers read correctly", "share", format="%.1f%%"),
        "milliseconds": Column("Time, ms", "positive", "Median for one number.", "%.1f"),
    },
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
