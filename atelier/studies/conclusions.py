"""The four conclusions of the lab report, each with the study that tests it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason, as a sentence and as the values behind it, by name."""

    verdict: Verdict
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    number: str  # the value with its unit
    colour: str


@dataclass(frozen=True)
class Chart:
    title: str
    bars: list[Bar]


@dataclass(frozen=True)
class Conclusion:
    statement: str
    study: str
    criterion: str
    judge: Callable[[Result], Judgement]
    chart: Callable[[pd.DataFrame], Chart]  # without bars if their values were not measured


# Judgements ----------------------------------------------------------------------------------------------------------


def judgement(holds: bool, sentence: str, **facts: Any) -> Judgement:
    return Judgement(Verdict.SUPPORTED if holds else Verdict.NOT_SUPPORTED, sentence, facts)


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
    tests = {name: compare(right[cnn], right[name]) for name in right if name != cnn}
    rivals = sorted(tests, key=lambda name: tests[name].only_first - tests[name].only_second)  # the best first
    better = [n for n in rivals if tests[n].only_second > tests[n].only_first and tests[n].is_significant]
    rival = [*better, *rivals][0]
    lightest = shipped.parameters.idxmin()
    if lightest != cnn:
        sentence = f"The {MODELS[lightest].title} has fewer parameters than the {title}."
    elif better:
        sentence = (
            f"The {MODELS[rival].title} is significantly more accurate than the {title} (p = {tests[rival].p:.2g})."
        )
    else:
        sentence = f"The {title} has the fewest parameters, and no network is significantly more accurate."
    facts = {"lightest": lightest, "rival": rival, "p": tests[rival].p, "better": better}
    return judgement(lightest == cnn and not better, sentence, **facts)


def overkill_for_one_digit(result: Result) -> Judgement:
    """Judge the detector by the answer to the study's question."""
    answer = STUDIES["one_or_many"].findings(result.table).answer
    title = MODELS[one_or_many.readers()[1]].title
    sentences = {
        "always": f"{title} pays even for one digit.",
        "several": f"{title} pays as soon as there are several digits.",
        "touching": f"{title} pays only when digits touch or overlap.",
        "never": f"{title} does not pay, even when digits overlap.",
    }
    if answer is None:
        return inconclusive("Too few kinds of numbers have been measured.")
    return judgement(answer in ("several", "touching"), sentences[answer], answer=answer)


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
        freedom=fastest,
        accuracy=accuracy,
        share=share,
        gain=gain,
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
        few=first,
        many=last,
    )


# Charts --------------------------------------------------------------------------------------------------------------


def misread(table: pd.DataFrame) -> Chart:
    digits = (1 - table[table.kind == "shipped"].set_index("network").accuracy) * mnist.TEST_DIGITS
    return Chart(f"Misread of {mnist.TEST_DIGITS:,} test digits", by_network(digits, "{:.0f}".format))


def one_and_many(table: pd.DataFrame) -> Chart:
    kinds = {
        "one digit": table[table.digits == 1],
        "touching or overlapping": table[(table.digits > 1) & (table.overlap >= 0)],
    }
    bars = []
    for kind, rows in kinds.items():
        bars += by_network(rows.groupby("network").reading_accuracy.mean(), percent, f", {kind}")
    return Chart("Numbers read correctly", bars)


def by_freedom(table: pd.DataFrame) -> Chart:
    means = transfer.by_freedom(table[table.backbone != "none"].dropna(subset=["accuracy"]))
    bars = [
        Bar(transfer.label(freedom), mean.seconds, f"{mean.seconds:,.0f} s, {percent(mean.accuracy)}", GREY)
        for freedom, mean in means.iterrows()
    ]
    return Chart("Training time, and the accuracy after it", bars)


def few_and_many(table: pd.DataFrame) -> Chart:
    means = table[table.network.isin(data_hunger.compared())].groupby(["size", "network"]).accuracy.mean().unstack()
    bars = []
    for size in means.index[[0, -1]].unique() if len(means) else []:
        bars += by_network(100 * (1 - means.loc[size]), "{:.2g}%".format, f", {size:,} digits")
    return Chart("Misread test digits after training", bars)


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
        misread,
    ),
    Conclusion(
        "Faster R-CNN is powerful, but overkill for one digit.",
        "one_or_many",
        "It reads 5 percentage points more of the numbers correctly, but not if the number is one digit.",
        overkill_for_one_digit,
        one_and_many,
    ),
    Conclusion(
        "Fine-tuning is fast and accurate.",
        "transfer",
        f"At least {ACCURATE:.0%} accuracy in at most {FAST:.0%} of the time of training all layers. "
        f"Pretraining adds at least {100 * WORTH:.0f} percentage point to random weights.",
        fast_and_accurate,
        by_freedom,
    ),
    Conclusion(
        "Vision Transformers need data and tuning.",
        "data_hunger",
        f"We call it true if the ViT is at least {100 * BEHIND:.0f} point behind with the fewest digits. With the most "
        f"digits, at most {STILL_BEHIND:.0%} of the gap may be left. Tuning is not tested here.",
        needs_data,
        few_and_many,
    ),
)
