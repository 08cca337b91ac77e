"""The four conclusions of the lab report, each with the study that tests it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd

from atelier.data import mnist
from atelier.evaluation import failures
from atelier.evaluation.significance import compare
from atelier.figures.sweeps import percent
from atelier.studies import STUDIES, data_hunger, one_or_many, transfer
from atelier.studies.results import Result
from atelier.zoo import MODELS, Family, of_family

ACCURATE = 0.98  # accurate: at least this accuracy
FAST = 0.5  # fast: at most this share of the time of training everything
WORTH = 0.01  # the accuracy that pretraining must add to random weights
BEHIND = 0.01  # needs data: at least this accuracy behind with few digits,
STILL_BEHIND = 0.5  # and at most this share of the gap with many
GREY = "#808080"  # for means of several networks


class Verdict(StrEnum):
    """What the numbers say about a conclusion."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not_supported"
    INCONCLUSIVE = "inconclusive"


class Judgement(NamedTuple):
    verdict: Verdict
    sentence: str  # the reason


class Bar(NamedTuple):
    name: str
    value: float
    number: str  # the value with its unit
    colour: str


@dataclass(frozen=True)
class Conclusion:
    statement: str
    study: str
    criterion: str
    judge: Callable[[Result], Judgement]
    chart: str  # title of the bar chart
    bars: Callable[[pd.DataFrame], list[Bar]]  # empty if their values were not measured


# Judgements ----------------------------------------------------------------------------------------------------------


def judgement(holds: bool, sentence: str) -> Judgement:
    return Judgement(Verdict.SUPPORTED if holds else Verdict.NOT_SUPPORTED, sentence)


def inconclusive(sentence: str) -> Judgement:
    return Judgement(Verdict.INCONCLUSIVE, sentence)


def simple_and_effective(result: Result) -> Judgement:
    """Judge the first convolutional network against all other shipped networks, see `evaluation.significance`."""
    cnn = of_family(Family.CONVOLUTIONAL)[0]
    title = MODELS[cnn].title
    shipped = result.table[result.table.kind == "shipped"].set_index("network")
    try:
        predictions = failures.load_predictions(result.predictions, mnist.load("test")[1], shipped.index)
    except mnist.DamagedDataError as error:
        return inconclusive(str(error))
    if cnn not in predictions.networks or len(shipped) < 2 or len(predictions.networks) < len(shipped):
        return inconclusive("The predictions of these networks are not complete.")
    right = predictions.correct
    tests = {name: compare(right[name], right[cnn]) for name in right if name != cnn}
    better = [name for name, test in tests.items() if test.is_significant and test.only_first > test.only_second]
    lightest = shipped.parameters.idxmin()
    sentence = f"The {title} has the fewest parameters, and no network is significantly more accurate."
    if lightest != cnn:
        sentence = f"The {MODELS[lightest].title} has fewer parameters than the {title}."
    elif better:
        best = min(better, key=lambda name: tests[name].p)
        sentence = (
            f"The {MODELS[best].title} is significantly more accurate than the {title} (p = {tests[best].p:.2g})."
        )
    return judgement(lightest == cnn and not better, sentence)


def overkill_for_one_digit(result: Result) -> Judgement:
    """Judge the detector by the answer to the study's question."""
    answer = STUDIES["one_or_many"].findings(result.table).answer
    title = MODELS[one_or_many.readers()[1]].title
    sentences = {
        "always": f"{title} is worth its time even for one digit.",
        "several": f"{title} is worth its time as soon as there are several digits.",
        "touching": f"{title} is worth its time only when digits touch or overlap.",
        "never": f"{title} is not worth its time, even when digits overlap.",
    }
    if answer is None:
        return inconclusive("Too few kinds of numbers have been measured.")
    return judgement(answer in ("several", "touching"), sentences[answer])


def fast_and_accurate(result: Result) -> Judgement:
    """Judge the fastest freedom within half a percentage point of the best accuracy."""
    measured = result.table.dropna(subset=["accuracy"])
    means = transfer.by_freedom(measured[measured.backbone != "none"])
    if transfer.FREE not in means.index:
        return inconclusive("The training of all layers has not been measured.")
    fastest = transfer.fastest(means)
    gains = [gain[fastest] for gain in transfer.gains_by_source(measured).values() if fastest in gain]
    if not gains:
        return inconclusive("Random weights have not been measured with the fastest option.")
    accuracy, share = means.accuracy[fastest], means.seconds[fastest] / means.seconds[transfer.FREE]
    gain = float(np.mean(gains))
    return judgement(
        bool(accuracy >= ACCURATE and share <= FAST and gain >= WORTH),
        f"The fastest good option reaches {percent(accuracy)} accuracy in {share:.0%} of the full training time.",
    )


def needs_data(result: Result) -> Judgement:
    """Judge the transformer's gap to the convolutional network, with the fewest digits and with the most."""
    cnn, vit = data_hunger.compared()
    means = result.table.groupby(["size", "network"]).accuracy.mean().unstack()
    means = means.reindex(columns=[cnn, vit]).dropna()
    if len(means) < 2:
        return inconclusive("Fewer than two sizes have been measured with both networks.")
    lead = means[vit] - means[cnn]
    first, last = lead.iloc[[0, -1]]
    return judgement(
        bool(first <= -BEHIND and last >= STILL_BEHIND * first),
        f"The {MODELS[vit].title} is {data_hunger.gap_in_words(first)} with few digits and "
        f"{data_hunger.gap_in_words(last)} with many.",
    )


# Charts --------------------------------------------------------------------------------------------------------------


def misread(table: pd.DataFrame) -> list[Bar]:
    digits = (1 - table[table.kind == "shipped"].set_index("network").accuracy) * mnist.TEST_DIGITS
    return by_network(digits, "{:.0f}".format)


def one_and_many(table: pd.DataFrame) -> list[Bar]:
    one, touching = table[table.digits == 1], table[(table.digits > 1) & (table.overlap >= 0)]
    bars = by_network(one.groupby("network").reading_accuracy.mean(), percent, ", one digit")
    return bars + by_network(touching.groupby("network").reading_accuracy.mean(), percent, ", touching or overlapping")


def by_freedom(table: pd.DataFrame) -> list[Bar]:
    means = transfer.by_freedom(table[table.backbone != "none"].dropna(subset=["accuracy"]))
    return [
        Bar(transfer.FREEDOMS[freedom][0], mean.seconds, f"{mean.seconds:,.0f} s, {percent(mean.accuracy)}", GREY)
        for freedom, mean in means.iterrows()
    ]


def few_and_many(table: pd.DataFrame) -> list[Bar]:
    means = table[table.network.isin(data_hunger.compared())].groupby(["size", "network"]).accuracy.mean().unstack()
    bars = []
    for size in means.index[[0, -1]].unique() if len(means) else []:
        bars += by_network(100 * (1 - means.loc[size]), "{:.2g}%".format, f", {size:,} digits")
    return bars


def by_network(values: pd.Series, in_words: Callable[[float], str], suffix: str = "") -> list[Bar]:
    """A bar for each network in the index of `values`, in the order of the registry."""
    values = values.dropna()
    return [
        Bar(spec.title + suffix, values[name], in_words(values[name]), spec.colour)
        for name, spec in MODELS.items()
        if name in values.index
    ]


CONCLUSIONS = (
    Conclusion(
        "CNNs are simple and effective.",
        "leaderboard",
        "The CNN has the fewest parameters. No network misreads fewer digits by more than chance (p < 0.05).",
        simple_and_effective,
        f"Misread of {mnist.TEST_DIGITS:,} test digits",
        misread,
    ),
    Conclusion(
        "Faster R-CNN is powerful, but overkill for one digit.",
        "one_or_many",
        "It reads 5 percentage points more of the numbers correctly, but not if the number is one digit.",
        overkill_for_one_digit,
        "Numbers read correctly",
        one_and_many,
    ),
    Conclusion(
        "Fine-tuning is fast and accurate.",
        "transfer",
        f"At least {ACCURATE:.0%} accuracy in at most {FAST:.0%} of the time of training all layers. "
        f"Pretraining adds at least {100 * WORTH:.0f} percentage point to random weights.",
        fast_and_accurate,
        "Training time, and the accuracy after it",
        by_freedom,
    ),
    Conclusion(
        "Vision Transformers need data and tuning.",
        "data_hunger",
        f"We call it true if the ViT is at least {100 * BEHIND:.0f} point behind with the fewest digits. With the most "
        f"digits, at most {STILL_BEHIND:.0%} of the gap may be left. Tuning is not tested here.",
        needs_data,
        "Misread test digits after training",
        few_and_many,
    ),
)
