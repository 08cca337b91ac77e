"""One digit or many: when is a detector worth its price?

The lab report calls Faster R-CNN powerful, but overkill for one digit. Without a detector, a number can be taken apart
into connected pieces of ink, and the CNN reads each: fast, and right as long as digits do not touch. Here both read the
same numbers of one to six test digits: apart, pushed together until their ink touches, and then on into each other. A
number counts as read right if every digit is, in order. Milliseconds are the median for one number, from the picture to
the reading.

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
from atelier.studies.study import Findings, Point, Row, Study
from atelier.zoo import MODELS

NETWORKS = {"cnn": "CNN on pieces", "faster_rcnn": "Faster R-CNN"}
# Of the narrower neighbour's width: how far two digits are pushed together after their ink touches; below 0, the gap
# between their boxes.
OVERLAPS = (-0.25, 0.0, 0.1, 0.2, 0.3, 0.4)
INK, SHARPNESS = 64, 2.0  # pixels, the height of a digit; as scenes have it on average
HEIGHT = 720  # pixels of the figure
SCORE = 0.5  # the least of a detection that counts
WORTH = 0.05  # a detector pays if it reads so many more of the numbers right: five of a hundred


def points(quick: bool) -> list[Point]:
    return [
        {"network": network, "digits": digits, "overlap": overlap, "scenes": 40 if quick else 200}
        for digits in range(1, MOST_DIGITS + 1)
        for overlap in (OVERLAPS if digits > 1 else OVERLAPS[:1])
        for network in NETWORKS
    ]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.studies import trial

    classifier = trial.shipped(point["network"], device)
    right, taken = 0, []
    for number in range(point["scenes"]):
        scene = numbered(number, point["digits"], point["overlap"])
        started = time.perf_counter()
        if point["network"] == "faster_rcnn":
            found = classifier.detect(scene.picture, SCORE)
        else:
            found = classifier.read_pieces(scene.picture)
        taken.append(1000 * (time.perf_counter() - started))
        right += found.reading == scene.reading
        if number % 20 == 0:
            yield None
    yield point | {"reading_accuracy": right / len(taken), "milliseconds": float(np.median(taken))}


def numbered(number: int, digits: int, overlap: float) -> Scene:
    """The scene with this number of its kind: the same today, for every network, and with every overlap."""
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
    """How many columns after a digit `uint8[INK, W]` its neighbour begins; at least one, so that they stay in order."""
    start = before.shape[1] if overlap < 0 else touching(before, after)
    return max(1, start - round(overlap * min(before.shape[1], after.shape[1])))


def touching(before: np.ndarray, after: np.ndarray) -> int:
    """How many columns after a digit its neighbour begins that is moved towards it until their ink touches, corners
    included, as pieces of ink hang together in `scenes.pieces`."""
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


# What the numbers say ------------------------------------------------------------------------------------------------


ANSWERS = (
    "Always, even for one digit",
    "As soon as there are several digits",
    "Only when digits touch or overlap",
    "Never",
)


def findings(table: pd.DataFrame) -> Findings:
    if (table.scenes < 1).any():
        raise ValueError("no scenes")
    table = table.assign(right=(table.reading_accuracy * table.scenes).round().astype(int))
    cnn, detector = (table[table.network == network] for network in NETWORKS)
    both = cnn.merge(detector, on=["digits", "overlap"], suffixes=("_cnn", "_detector"))
    both = both.sort_values(["digits", "overlap"])
    if both.empty:
        return Findings(None, ("No numbers have been read both ways.", "So they cannot be compared."))
    right, where = the_start(both)
    return Findings(right, (the_price(both.iloc[0]), where))


def the_price(read: pd.Series) -> str:
    """The sentence on what a detector costs where there are the fewest digits."""
    digits = "one digit" if read.digits == 1 else f"{read.digits} digits"
    longer = read.milliseconds_detector / read.milliseconds_cnn
    return (
        f"With {digits}, Faster R-CNN reads {sweeps.percent(read.reading_accuracy_detector)} right in "
        f"{read.milliseconds_detector:.1f} ms, and the CNN on connected pieces "
        f"{sweeps.percent(read.reading_accuracy_cnn)} in {read.milliseconds_cnn:.1f} ms: the detector takes "
        f"{longer:.1f} times as long."
    )


def the_start(both: pd.DataFrame) -> tuple[int | None, str]:
    """The right answer, and the sentence on where a detector starts to pay."""
    counts = ["right_cnn", "scenes_cnn", "right_detector", "scenes_detector"]
    several = both[both.digits > 1].groupby("overlap")[counts].sum()
    kinds = [("one digit", 0, read) for _, read in both[both.digits == 1].iterrows()]
    kinds += [(kind(overlap), 1 if overlap < 0 else 2, read) for overlap, read in several.iterrows()]
    paying = [of for of in kinds if pays(of[2])]
    name, answer, read = [*paying, kinds[-1]][0]
    numbers = (
        f"it reads {sweeps.percent(read.right_detector / read.scenes_detector)} of the numbers right, the CNN on "
        f"pieces {sweeps.percent(read.right_cnn / read.scenes_cnn)}"
    )
    if paying:
        return answer, f"A detector starts to pay with {name}: {numbers}."
    never = len(ANSWERS) - 1 if answer == 2 else None  # None: digits that touch were not measured
    return never, f"A detector does not pay here: even with {name}, {numbers}."


def pays(read: pd.Series) -> bool:
    """Whether a detector reads WORTH more of the numbers right, and hardly by chance: the 95% intervals do not meet."""
    cnn, detector = read.right_cnn / read.scenes_cnn, read.right_detector / read.scenes_detector
    (_, most), (least, _) = wilson(read.right_cnn, read.scenes_cnn), wilson(read.right_detector, read.scenes_detector)
    return round(detector - cnn, 9) >= WORTH and least > most  # rounded: 0.95 - 0.9 is 0.05


def kind(overlap: float) -> str:
    if overlap < 0:
        return "several digits apart"
    return f"digits that overlap by {overlap:.0%} of their width" if overlap else "digits that touch"


def figure(table: pd.DataFrame) -> Figure:
    titles = ["<b>Apart</b>", "<b>Closer and closer</b>, 2 digits or more", "<b>Milliseconds for one number</b>"]
    figure = sweeps.panels(
        titles, 1, "When does a detector pay?", "Higher: more read right · lowest panel: slower", HEIGHT
    )
    for network in sweeps.networks(table):
        rows = table[table.network == network]
        apart = rows[rows.overlap < 0].sort_values("digits")
        closer = (
            rows[rows.digits > 1]
            .groupby("overlap", as_index=False)[["reading_accuracy", "scenes"]]
            .agg({"reading_accuracy": "mean", "scenes": "sum"})
        )
        figure.add_trace(line(network, apart.digits, apart), row=1, col=1)
        figure.add_trace(line(network, closer.overlap.map(short), closer).update(showlegend=False), row=2, col=1)
        figure.add_trace(speed(network, apart), row=3, col=1)
    for row, title in ((1, "digits"), (3, "digits")):
        figure.update_xaxes(title_text=title, tickvals=list(range(1, MOST_DIGITS + 1)), row=row)
    figure.update_xaxes(title_text="overlap", type="category", row=2)
    figure.update_yaxes(tickformat="~%", row=1)
    figure.update_yaxes(tickformat="~%", range=[0, 1.03], row=2)
    return figure.update_yaxes(rangemode="tozero", ticksuffix=" ms", row=3)


def short(overlap: float) -> str:
    """As on an axis."""
    return "apart" if overlap < 0 else f"{overlap:.0%}" if overlap else "touching"


def line(network: str, x: pd.Series, read: pd.DataFrame) -> Scatter:
    """How many numbers are read right, with 95% intervals."""
    right = (read.reading_accuracy * read.scenes).round().astype(int)
    lows, highs = np.transpose([wilson(*pair) for pair in zip(right, read.scenes, strict=True)]).reshape(2, -1)
    return Scatter(
        x=x,
        y=read.reading_accuracy,
        error_y={"array": highs - read.reading_accuracy, "arrayminus": read.reading_accuracy - lows, "thickness": 2},
        name=NETWORKS[network],
        legendgroup=network,
        mode="lines+markers",
        line={"color": MODELS[network].colour, "width": 3},
        marker={"size": 10},
        customdata=np.stack([lows, highs, read.scenes], axis=1),
        hovertemplate=f"<b>{NETWORKS[network]}</b>, %{{x}}: %{{y:.1%}} of %{{customdata[2]:,}} numbers right<br>"
        "95% interval: %{customdata[0]:.1%} to %{customdata[1]:.1%}<extra></extra>",
    )


def speed(network: str, read: pd.DataFrame) -> Scatter:
    return Scatter(
        x=read.digits,
        y=read.milliseconds,
        legendgroup=network,
        showlegend=False,
        mode="lines+markers",
        line={"color": MODELS[network].colour, "width": 3},
        marker={"size": 10},
        hovertemplate=f"<b>{NETWORKS[network]}</b>: %{{y:.1f}} ms<extra></extra>",
    )


STUDY = Study(
    name="one_or_many",
    title="One digit or many",
    question="A detector costs time. When does Faster R-CNN read at least five more of a hundred numbers right than a "
    "CNN that is given one connected piece of ink after the other?",
    answers=ANSWERS,
    method="Both read the same 200 numbers of each kind (quick: 40): one to six digits, apart, touching, overlapping. "
    "A difference that may be chance does not count: where 95% intervals meet.",
    columns=("network", "digits", "overlap", "scenes", "reading_accuracy", "milliseconds"),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
