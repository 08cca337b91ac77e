"""Verdicts on the lab report's conclusions, from tables with known numbers."""

import numpy as np
import pandas as pd
import pytest

from atelier.data import mnist
from atelier.studies import results
from atelier.studies.conclusions import (
    CONCLUSIONS,
    Verdict,
    by_freedom,
    fast_and_accurate,
    few_and_many,
    misread,
    needs_data,
    one_and_many,
    overkill_for_one_digit,
    simple_and_effective,
)
from atelier.studies.results import Result
from atelier.studies.transfer import FREE, FROZEN
from atelier.zoo import MODELS
from tests.support.made_results import PROVENANCE

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = Verdict
LABELS = mnist.load("test")[1]


def result(table: pd.DataFrame, predictions: dict | None = None) -> Result:
    return Result(table, PROVENANCE, predictions or {})


@pytest.mark.parametrize("conclusion", CONCLUSIONS, ids=lambda conclusion: conclusion.study)
def test_shipped_results_decide_each_conclusion(conclusion):
    shipped = results.shipped(conclusion.study)
    assert conclusion.judge(shipped).verdict is not INCONCLUSIVE
    assert conclusion.bars(shipped.table)


SWAPS = {  # study: column and the two values that change places
    "one_or_many": ("network", "cnn", "faster_rcnn"),
    "transfer": ("backbone", "glyphs", "none"),
    "data_hunger": ("network", "cnn", "vit"),
}


@pytest.mark.parametrize("conclusion", [c for c in CONCLUSIONS if c.study in SWAPS], ids=lambda c: c.study)
def test_verdict_turns_when_shipped_rows_change_places(conclusion):
    column, one, other = SWAPS[conclusion.study]
    shipped = results.shipped(conclusion.study)
    swapped = shipped.table.replace({column: {one: other, other: one}})
    assert conclusion.judge(shipped).verdict is SUPPORTED
    assert conclusion.judge(result(swapped)).verdict is NOT_SUPPORTED


# Vision Transformers need data ---------------------------------------------------------------------------------------


def hungry(cnn, vit):
    rows = [(name, size, read) for name, by_size in (("cnn", cnn), ("vit", vit)) for size, read in by_size.items()]
    return result(pd.DataFrame(rows, columns=["network", "size", "accuracy"]))


@pytest.mark.parametrize(
    ("vit", "verdict"),
    [
        ({100: 0.7, 9_000: 0.98}, SUPPORTED),
        ({100: 0.85, 9_000: 0.95}, NOT_SUPPORTED),  # ahead with few digits
        ({100: 0.7, 9_000: 0.9}, NOT_SUPPORTED),  # as far behind with many
        ({100: 0.7999, 9_000: 0.99}, NOT_SUPPORTED),  # hardly behind
        ({100: 0.9, 9_000: 0.995}, NOT_SUPPORTED),  # never behind
        ({100: 0.7}, INCONCLUSIVE),
    ],
)
def test_transformer_needs_data_if_it_is_behind_with_few_digits_and_catches_up(vit, verdict):
    assert needs_data(hungry({100: 0.8, 9_000: 0.99}, vit)).verdict is verdict


# CNNs are simple and effective ---------------------------------------------------------------------------------------


def board(weights=(10, 30, 20), kind="shipped", **wrong):
    """A leaderboard of networks that misread so many digits, no digit twice."""
    arrays, first = {}, 0
    for name, count in wrong.items():
        guess = LABELS.copy()
        guess[first : first + count] = (guess[first : first + count] + 1) % 10
        first += count
        arrays |= {f"{name}_guess": guess.astype(np.uint8), f"{name}_confidence": np.full(10_000, 0.9, np.float16)}
    table = pd.DataFrame({"network": list(wrong), "kind": kind, "parameters": weights[: len(wrong)]})
    return result(table, arrays)


@pytest.mark.parametrize(
    ("weights", "wrong", "verdict"),
    [
        ((10, 30), {"cnn": 37, "vit": 60}, SUPPORTED),
        ((10, 30), {"cnn": 47, "vit": 37}, SUPPORTED),  # the difference may be chance
        ((10, 30), {"cnn": 40, "vit": 40}, SUPPORTED),
        ((10, 30, 20), {"cnn": 60, "vgg16": 70, "vit": 37}, NOT_SUPPORTED),
        ((30, 20), {"cnn": 37, "vit": 60}, NOT_SUPPORTED),  # the ViT has fewer parameters
    ],
)
def test_cnn_is_simple_and_effective_unless_another_network_is_lighter_or_significantly_better(weights, wrong, verdict):
    assert simple_and_effective(board(weights, **wrong)).verdict is verdict


def test_without_all_predictions_or_a_rival_there_is_no_verdict_on_the_cnn(monkeypatch):
    whole, own = board(cnn=37, vit=60), board(cnn=60, vit=37)
    own.table.loc[1, "kind"] = "run"
    lost = {name: values for name, values in whole.predictions.items() if not name.startswith("vit")}
    for part in (result(whole.table), result(whole.table, lost), board(cnn=37), board(vit=37, vgg16=50), own):
        assert simple_and_effective(part).verdict is INCONCLUSIVE

    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged.")

    monkeypatch.setattr(mnist, "load", damaged)
    assert simple_and_effective(whole).verdict is INCONCLUSIVE


def test_without_the_detector_there_is_no_verdict_on_it():
    table = results.shipped("one_or_many").table
    assert overkill_for_one_digit(result(table[table.network == "cnn"])).verdict is INCONCLUSIVE


# Fine-tuning is fast and accurate ------------------------------------------------------------------------------------


def trials(frozen=(0.985, 8.0), free=(0.99, 60.0), random=0.9):
    """Two networks; each freedom with an accuracy and seconds, and random weights with an accuracy."""
    rows = [
        {"network": network, "backbone": backbone, "freedom": freedom, "seed": 0, "accuracy": read, "seconds": seconds}
        for network in ("vgg16", "alexnet")
        for freedom, (accuracy, seconds) in {FROZEN: frozen, FREE: free}.items()
        for backbone, read in (("glyphs", accuracy), ("none", random), ("imagenet", float("nan")))
    ]
    return result(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({}, SUPPORTED),
        ({"frozen": (0.975, 8.0), "free": (0.976, 60.0)}, NOT_SUPPORTED),  # not accurate
        ({"frozen": (0.985, 40.0)}, NOT_SUPPORTED),  # not fast
        ({"frozen": (0.97, 8.0)}, NOT_SUPPORTED),  # training all layers is better
        ({"random": 0.98}, NOT_SUPPORTED),  # pretraining adds little
    ],
)
def test_fine_tuning_must_be_accurate_and_fast_and_gain_from_pretraining(numbers, verdict):
    assert fast_and_accurate(trials(**numbers)).verdict is verdict


@pytest.mark.parametrize(("column", "only"), [("freedom", FROZEN), ("backbone", "glyphs"), ("backbone", "none")])
def test_without_a_comparison_there_is_no_verdict_on_fine_tuning(column, only):
    table = trials().table
    assert fast_and_accurate(result(table[table[column] == only])).verdict is INCONCLUSIVE


# Charts --------------------------------------------------------------------------------------------------------------


def values(bars):
    return [round(bar.value, 4) for bar in bars]


def test_misread_digits_of_shipped_networks_are_counted():
    table = pd.DataFrame({"network": ["vit", "cnn", "mine"], "kind": ["shipped", "shipped", "run"]})
    bars = misread(table.assign(accuracy=[0.9950, 0.9975, 0.9]))
    assert values(bars) == [25, 50]
    assert [bar.colour for bar in bars] == [MODELS["cnn"].colour, MODELS["vit"].colour]


def test_one_digit_and_touching_digits_are_compared():
    rows = [("cnn", 1, -0.25, 0.99), ("faster_rcnn", 1, -0.25, 0.98), ("cnn", 2, -0.25, 1.0)]
    rows += [("cnn", 2, 0.0, 0.5), ("cnn", 3, 0.2, 0.25), ("faster_rcnn", 2, 0.0, 0.9)]
    table = pd.DataFrame(rows, columns=["network", "digits", "overlap", "reading_accuracy"])
    assert values(one_and_many(table)) == [0.99, 0.98, 0.375, 0.9]
    assert values(one_and_many(table[:1])) == [0.99]


def test_training_times_are_means_of_trials_made_with_each_freedom():
    table = trials(frozen=(0.96, 10.0), free=(0.98, 40.0)).table
    unfinished = {"network": "vgg16", "backbone": "glyphs", "freedom": FROZEN, "seed": 1, "seconds": 99.0}
    table = pd.concat([table, pd.DataFrame([unfinished | {"accuracy": 0.1}])], ignore_index=True)
    bars = by_freedom(table)
    assert values(bars) == [10, 40]
    assert not {bar.colour for bar in bars} & {spec.colour for spec in MODELS.values()}  # a mean is no network
    assert not by_freedom(table.assign(accuracy=float("nan")))


def test_data_hunger_is_shown_at_the_smallest_and_largest_size():
    rows = [("cnn", 100, 0.8), ("cnn", 100, 0.6), ("vit", 100, 0.4), ("cnn", 900, 0.9), ("vit", 900, 0.8)]
    rows += [("cnn", 10_000, 0.98), ("vit", 10_000, 0.97), ("vgg16", 10_000, 0.5)]
    table = pd.DataFrame(rows, columns=["network", "size", "accuracy"])
    assert values(few_and_many(table)) == [30, 60, 2, 3]
    assert not few_and_many(table[table.network == "vgg16"])
