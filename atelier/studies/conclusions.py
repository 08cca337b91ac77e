"""The lab report's four conclusions, each with the study that puts it to the test."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from atelier.studies.chart import percent
from atelier.studies.transfer import THAWED
from atelier.zoo import MODELS


@dataclass(frozen=True)
class Bar:
    name: str
    number: str  # as people read it
    length: float  # 0..1
    colour: str


Bars = dict[str, list[Bar]]  # by what they measure


@dataclass(frozen=True)
class Conclusion:
    sentence: str
    study: str
    supported_by: tuple[str, ...]  # answers to the study's question
    bars: Callable[[pd.DataFrame], Bars]  # what matters most in the study's table; empty if it was not measured


def misread(table: pd.DataFrame) -> Bars:
    digits = (1 - table[table.kind == "shipped"].set_index("network").accuracy) * 10_000
    return {"Misread of 10,000 digits": by_network(digits, "{:.0f}".format)}


def one_and_many(table: pd.DataFrame) -> Bars:
    one = table[table.digits == 1].groupby("network").milliseconds.mean()
    touching = table[(table.digits > 1) & (table.overlap >= 0)].groupby("network").reading_accuracy.mean()
    return {
        "Time for one digit, the CNN reading connected pieces": by_network(one, "{:.1f} ms".format),
        "Numbers of touching and overlapping digits read right": by_network(touching, percent, most=1),
    }


def by_freedom(table: pd.DataFrame) -> Bars:
    pretrained = table[table.backbone != "none"].dropna(subset=["accuracy"])
    means = pretrained.groupby("freedom")[["accuracy", "seconds"]].mean()
    return {
        "Seconds of training, and digits read right then": [
            Bar(
                freedom.capitalize(),
                f"{means.seconds[freedom]:,.0f} s: {percent(means.accuracy[freedom])}",
                means.seconds[freedom] / means.seconds.max(),
                MODELS["vgg16"].colour,
            )
            for freedom in THAWED
            if freedom in means.index
        ]
    }


def few_and_many(table: pd.DataFrame) -> Bars:
    means = table[table.network.isin(["cnn", "vit"])].groupby(["size", "network"]).accuracy.mean().unstack()
    sizes = means.index[[0, -1]].unique() if len(means) else []
    return {
        f"Misread after {size:,} training digits": by_network(100 * (1 - means.loc[size]), "{:.2g}%".format)
        for size in sizes
    }


def by_network(values: pd.Series, told: Callable[[float], str], most: float | None = None) -> list[Bar]:
    """A bar for each network in the index; the longest is `most`, or the largest value if None."""
    values, most = values.dropna(), most or values.max()
    return [
        Bar(spec.title, told(values[name]), values[name] / most, spec.colour)
        for name, spec in MODELS.items()
        if name in values.index
    ]


CONCLUSIONS = (
    Conclusion("CNNs are simple and effective.", "leaderboard", ("CNN",), misread),
    Conclusion(
        "Faster R-CNN is powerful, but overkill for one digit.",
        "one_or_many",
        ("As soon as there are several digits", "Only when digits touch or overlap"),
        one_and_many,
    ),
    Conclusion(
        "Fine-tuning is fast and accurate.",
        "transfer",
        ("Only its new head: all frozen", "The last block, too"),
        by_freedom,
    ),
    Conclusion(
        "Vision Transformers need data and tuning.",
        "data_hunger",
        (
            "From somewhere in between",
            "Only with the most digits",
            "Never: with the most digits the CNN is ahead",
        ),
        few_and_many,
    ),
)
