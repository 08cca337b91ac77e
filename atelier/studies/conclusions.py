"""The lab report's four conclusions, each with the study that puts it to the test."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from atelier.data import mnist
from atelier.data.mnist import TEST_DIGITS
from atelier.evaluation import failures
from atelier.evaluation.significance import compare
from atelier.figures.sweeps import percent
from atelier.studies import STUDIES, transfer
from atelier.studies.results import Result
from atelier.zoo import MODELS

ACCURATE = 0.98  # the least share of digits read right by what is accurate
FAST = 0.5  # the largest share of the time that training everything takes, of what is fast
WORTH = 0.01  # the least that pretraining adds to the accuracy of random layers, where it is worth something
BEHIND = 0.01  # the least by which who needs data reads less than another with few digits
STILL_BEHIND = 0.5  # the largest share of that which many digits leave
GREY = "#808080"  # of what is the mean of several networks


@dataclass(frozen=True)
class Bar:
    name: str
    number: str  # as people read it
    length: float  # 0..1
    colour: str


Bars = dict[str, list[Bar]]  # by what they measure


@dataclass(frozen=True)
class Verdict:
    """What the numbers say to a conclusion. Other numbers give another verdict."""

    holds: bool | None  # None if they do not tell
    why: str = ""  # in words, where the findings of the study do not say it already


@dataclass(frozen=True)
class Conclusion:
    sentence: str
    study: str
    verdict: Callable[[Result], Verdict]
    bars: Callable[[pd.DataFrame], Bars]  # what matters most in the study's table; empty if it was not measured


# Verdicts ------------------------------------------------------------------------------------------------------------


def simple_and_effective(result: Result) -> Verdict:
    """The CNN is simple if no other shipped network has fewer weights, and effective if none misreads fewer digits. A
    difference that may be chance does not count, see `evaluation.significance`."""
    shipped = result.table[result.table.kind == "shipped"].set_index("network")
    try:
        said = failures.said(result.predictions, mnist.load("test")[1], shipped.index)
    except mnist.DamagedDataError as error:
        return Verdict(None, str(error))
    if "cnn" not in said.networks or len(shipped) < 2 or len(said.networks) < len(shipped):
        return Verdict(None, "What the CNN and the others said to each digit is not known here.")
    tests = {name: compare(said.right.cnn, said.right[name]) for name in said.networks if name != "cnn"}
    rivals = sorted(tests, key=lambda name: tests[name].only_first - tests[name].only_second)  # the best first
    better = [name for name in rivals if tests[name].only_second > tests[name].only_first and not tests[name].is_chance]
    rival, lightest = [*better, *rivals][0], shipped.parameters.idxmin()
    weights = f"The {MODELS[lightest].title} has the fewest weights, {shipped.parameters[lightest]:,}."
    difference = tests[rival].sentence.replace("These two", f"The CNN and the {MODELS[rival].title}, its best rival,")
    return Verdict(lightest == "cnn" and not better, f"{weights} {difference}")


def fast_and_accurate(result: Result) -> Verdict:
    """Fine-tuning is, if the fastest way to within half a point of the best is ACCURATE and FAST, and pretraining is
    WORTH something there."""
    measured = result.table.dropna(subset=["accuracy"])
    means = transfer.by_freedom(measured[measured.backbone != "none"])
    if "all free" not in means.index:
        return Verdict(None, "Training all of a pretrained network was not measured, so nothing can be faster.")
    way = transfer.fastest(means)
    gains = [by_way[way] for by_way in transfer.gains_by_source(measured).values() if way in by_way]
    if not gains:
        return Verdict(None, f"Random layers were not measured with “{way}”.")
    accuracy, share, gain = means.accuracy[way], means.seconds[way] / means.seconds["all free"], sum(gains) / len(gains)
    return Verdict(
        bool(accuracy >= ACCURATE and share <= FAST and gain >= WORTH),
        f"Asked of “{way}” are at least {ACCURATE:.0%} read right ({percent(accuracy)} are), at most {FAST:.0%} of the "
        f"time of training everything ({share:.0%}), and at least {100 * WORTH:+.1f} percentage points against random "
        f"layers ({100 * gain:+.1f}).",
    )


def answered(study: str, *answers: str) -> Callable[[Result], Verdict]:
    """A conclusion that any of these answers to a study's question supports."""

    def verdict(result: Result) -> Verdict:
        right = STUDIES[study].findings(result.table).right
        return Verdict(None if right is None else STUDIES[study].answers[right] in answers)

    return verdict


def needs_data(result: Result) -> Verdict:
    """The Vision Transformer does, if it is BEHIND the CNN with the fewest digits, and with the most by no more than
    STILL_BEHIND of that."""
    means = result.table.groupby(["size", "network"]).accuracy.mean().unstack()
    means = means.reindex(columns=["cnn", "vit"]).dropna()
    if len(means) < 2:
        return Verdict(None, "What more digits do for the ViT is seen from two sizes on, measured with the CNN, too.")
    lead = means.vit - means.cnn
    return Verdict(
        bool(lead.iloc[0] <= -BEHIND and lead.iloc[-1] >= STILL_BEHIND * lead.iloc[0]),
        f"Asked is that with {lead.index[0]:,} digits the ViT is at least {100 * BEHIND:.0f} percentage point behind "
        f"the CNN ({100 * lead.iloc[0]:+.1f}), and with {lead.index[-1]:,} at most {STILL_BEHIND:.0%} of that "
        f"({100 * lead.iloc[-1]:+.1f}). Tuning was not tried here: each network learns by its own recipe.",
    )


# Bars ----------------------------------------------------------------------------------------------------------------


def misread(table: pd.DataFrame) -> Bars:
    digits = (1 - table[table.kind == "shipped"].set_index("network").accuracy) * TEST_DIGITS
    return {f"Misread of {TEST_DIGITS:,} digits": by_network(digits, "{:.0f}".format)}


def one_and_many(table: pd.DataFrame) -> Bars:
    one = table[table.digits == 1].groupby("network").milliseconds.mean()
    touching = table[(table.digits > 1) & (table.overlap >= 0)].groupby("network").reading_accuracy.mean()
    return {
        "Time for one digit, the CNN reading connected pieces": by_network(one, "{:.1f} ms".format),
        "Numbers of touching and overlapping digits read right": by_network(touching, percent, most=1),
    }


def by_freedom(table: pd.DataFrame) -> Bars:
    means = transfer.by_freedom(table[table.backbone != "none"].dropna(subset=["accuracy"]))
    return {
        "Seconds of training, and digits read right then: means of VGG16 and AlexNet": [
            Bar(
                freedom.capitalize(),
                f"{means.seconds[freedom]:,.0f} s: {percent(means.accuracy[freedom])}",
                means.seconds[freedom] / means.seconds.max(),
                GREY,
            )
            for freedom in transfer.THAWED
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
    Conclusion("CNNs are simple and effective.", "leaderboard", simple_and_effective, misread),
    Conclusion(
        "Faster R-CNN is powerful, but overkill for one digit.",
        "one_or_many",
        answered("one_or_many", "As soon as there are several digits", "Only when digits touch or overlap"),
        one_and_many,
    ),
    Conclusion("Fine-tuning is fast and accurate.", "transfer", fast_and_accurate, by_freedom),
    Conclusion(
        "Vision Transformers need data and tuning.",
        "data_hunger",
        needs_data,
        few_and_many,
    ),
)
