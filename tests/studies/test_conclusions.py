"""The lab report's conclusions against tables whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from atelier.data import mnist
from atelier.studies import results
from atelier.studies.conclusions import (
    CONCLUSIONS,
    by_freedom,
    fast_and_accurate,
    few_and_many,
    misread,
    needs_data,
    one_and_many,
    simple_and_effective,
)
from atelier.studies.results import Result
from atelier.zoo import MODELS

LABELS = mnist.load("test")[1]


@pytest.mark.parametrize("conclusion", CONCLUSIONS, ids=lambda conclusion: conclusion.study)
def test_each_conclusion_gets_a_verdict_on_what_ships(conclusion):
    assert conclusion.verdict(results.shipped(conclusion.study)).holds in (True, False)


def test_the_answer_to_a_studys_question_is_the_verdict():
    (verdict,) = (conclusion.verdict for conclusion in CONCLUSIONS if conclusion.study == "one_or_many")
    result = results.shipped("one_or_many")
    swapped = result.table.replace({"network": {"cnn": "faster_rcnn", "faster_rcnn": "cnn"}})
    alone = result.table[result.table.network == "cnn"]
    verdicts = [verdict(Result(table, result.header, {})).holds for table in (result.table, swapped, alone)]
    assert verdicts == [True, False, None]


# Vision Transformers need data ---------------------------------------------------------------------------------------


def hungry(cnn, vit):
    rows = [(name, size, read) for name, all_read in (("cnn", cnn), ("vit", vit)) for size, read in all_read.items()]
    return Result(pd.DataFrame(rows, columns=["network", "size", "accuracy"]), {}, {})


def test_a_vit_needs_data_if_it_is_behind_with_few_digits_and_catches_up_with_many():
    cnn, yes = {100: 0.8, 9_000: 0.99}, needs_data(hungry({100: 0.8, 9_000: 0.99}, {100: 0.7, 9_000: 0.98}))
    assert yes.holds is True
    assert yes.why.startswith(
        "Asked is that with 100 digits the ViT is at least 1 percentage point behind the CNN (-10.0), and with 9,000 "
        "at most 50% of that (-1.0)."
    )
    others = {
        "it leads with few digits": {100: 0.85, 9_000: 0.95},
        "as far behind with many": {100: 0.7, 9_000: 0.9},
        "hardly behind": {100: 0.7999, 9_000: 0.99},
        "never behind": {100: 0.9, 9_000: 0.995},
    }
    assert {why: needs_data(hungry(cnn, vit)).holds for why, vit in others.items()} == dict.fromkeys(others, False)


def test_from_one_size_or_one_network_nothing_is_said_of_a_vits_need():
    assert needs_data(hungry({100: 0.8}, {100: 0.7})).holds is None
    assert needs_data(hungry({}, {100: 0.7, 9_000: 0.9})).holds is None


def test_the_verdict_on_what_ships_turns_when_the_cnn_and_the_vit_change_places():
    result = results.shipped("data_hunger")
    swapped = result.table.replace({"network": {"cnn": "vit", "vit": "cnn"}})
    assert needs_data(result).holds is True
    assert needs_data(Result(swapped, result.header, {})).holds is False


# CNNs are simple and effective ---------------------------------------------------------------------------------------


def board(weights=(10, 30, 20), kind="shipped", **wrong):
    """A leaderboard of networks that misread so many digits, no digit twice."""
    misreads, arrays, first = {}, {}, 0
    for name, count in wrong.items():
        guess = LABELS.copy()
        guess[first : first + count] = (guess[first : first + count] + 1) % 10
        first += count
        arrays |= {f"{name}_guess": guess.astype(np.uint8), f"{name}_confidence": np.full(10_000, 0.9, np.float16)}
        misreads[name] = 1 - count / 10_000
    table = pd.DataFrame({"network": list(misreads), "kind": kind, "accuracy": misreads.values()})
    return Result(table.assign(parameters=weights[: len(table)]), {}, arrays)


def test_the_cnn_is_effective_until_another_misreads_fewer_and_that_is_hardly_chance():
    ahead = simple_and_effective(board(cnn=37, vit=60))
    assert ahead.holds is True
    assert ahead.why == (
        "The CNN has the fewest weights, 10. "
        "The CNN and the ViT, its best rival, differ by 23 of 10,000 digits; that is hardly chance (p = 0.025)."
    )
    by_chance = simple_and_effective(board(cnn=47, vit=37))
    assert by_chance.holds is True
    assert "differ by 10 of 10,000 digits; that could be chance (p = 0.33)" in by_chance.why
    tie = simple_and_effective(board(cnn=40, vit=40))
    assert tie.holds is True
    assert "get equally many of 10,000 digits right" in tie.why
    behind = simple_and_effective(board(cnn=60, vgg16=70, vit=37))
    assert behind.holds is False
    assert "The CNN and the ViT, its best rival, differ by 23 of 10,000 digits; that is hardly chance" in behind.why


def test_the_cnn_is_not_simple_where_another_has_fewer_weights():
    heavy = simple_and_effective(board(weights=(30, 20), cnn=37, vit=60))
    assert heavy.holds is False
    assert "The ViT has the fewest weights, 20." in heavy.why


def test_the_difference_that_ships_may_be_chance_and_twice_as_many_mistakes_are_not():
    result = results.shipped("leaderboard")
    assert simple_and_effective(result).holds is True
    guess = result.predictions["cnn_guess"].copy()
    guess[np.flatnonzero(guess == LABELS)[:60]] += 1
    worse = Result(result.table, result.header, result.predictions | {"cnn_guess": guess % 10})
    assert simple_and_effective(worse).holds is False


def test_without_every_answer_or_any_rival_there_is_no_verdict_on_the_cnn(monkeypatch):
    whole = board(cnn=37, vit=60)
    lost = {name: values for name, values in whole.predictions.items() if not name.startswith("vit")}
    for result in (Result(whole.table, {}, {}), Result(whole.table, {}, lost), board(cnn=37), board(vit=37, vgg16=50)):
        assert simple_and_effective(result).holds is None
        assert simple_and_effective(result).why.endswith(".")

    def damaged(split):
        raise mnist.DamagedDataError("t10k is damaged.")

    monkeypatch.setattr(mnist, "load", damaged)
    assert simple_and_effective(whole).why == "t10k is damaged."


def test_runs_of_ones_own_say_nothing_about_the_cnn():
    own = board(cnn=60, vit=37)
    own.table.loc[1, "kind"] = "run"
    assert simple_and_effective(own).holds is None


# Fine-tuning is fast and accurate ------------------------------------------------------------------------------------


def trials(frozen=(0.985, 8.0), free=(0.99, 60.0), random=0.9):
    """Both networks; each way with an accuracy and seconds, and random layers with an accuracy."""
    ways = {"all frozen": frozen, "all free": free}
    rows = [
        {"network": network, "backbone": backbone, "freedom": freedom, "seed": 0, "accuracy": read, "seconds": seconds}
        for network in ("vgg16", "alexnet")
        for freedom, (accuracy, seconds) in ways.items()
        for backbone, read in (("glyphs", accuracy), ("none", random), ("imagenet", float("nan")))
    ]
    return Result(pd.DataFrame(rows), {}, {})


def test_fine_tuning_must_be_accurate_and_fast_and_worth_its_pretraining():
    yes = fast_and_accurate(trials())
    assert yes.holds is True
    assert yes.why == (
        "Asked of “all frozen” are at least 98% read right (98.5% are), at most 50% of the time of training "
        "everything (13%), and at least +1.0 percentage points against random layers (+8.5)."
    )
    reversed_by = {
        "accuracy": trials(frozen=(0.975, 8.0), free=(0.976, 60.0)),
        "time": trials(frozen=(0.985, 40.0)),
        "the rest, which learns more": trials(frozen=(0.97, 8.0)),
        "random layers": trials(random=0.98),
    }
    assert {why: fast_and_accurate(result).holds for why, result in reversed_by.items()} == dict.fromkeys(
        reversed_by, False
    )


def test_the_verdict_on_what_ships_turns_when_pretraining_is_worth_nothing():
    result = results.shipped("transfer")
    swapped = result.table.replace({"backbone": {"glyphs": "none", "none": "glyphs"}})
    assert fast_and_accurate(result).holds is True
    assert fast_and_accurate(Result(swapped, result.header, {})).holds is False


@pytest.mark.parametrize(("column", "only"), [("freedom", "all frozen"), ("backbone", "glyphs"), ("backbone", "none")])
def test_without_anything_to_compare_with_there_is_no_verdict_on_fine_tuning(column, only):
    table = trials().table
    verdict = fast_and_accurate(Result(table[table[column] == only], {}, {}))
    assert verdict.holds is None
    assert verdict.why.endswith(".")


# Bars ----------------------------------------------------------------------------------------------------------------


def told(bars):
    return {what: [(bar.name, bar.number, round(bar.length, 3)) for bar in lines] for what, lines in bars.items()}


def test_misread_digits_are_counted():
    table = pd.DataFrame({"network": ["vit", "cnn", "mine"], "kind": ["shipped", "shipped", "run"]})
    table["accuracy"] = [0.9950, 0.9975, 0.9]
    assert told(misread(table)) == {"Misread of 10,000 digits": [("CNN", "25", 0.5), ("ViT", "50", 1.0)]}


def test_a_detectors_price_and_its_worth():
    rows = [("cnn", 1, -0.25, 0.99, 1.0), ("faster_rcnn", 1, -0.25, 0.98, 4.0), ("cnn", 2, -0.25, 1.0, 2.0)]
    rows += [("cnn", 2, 0.0, 0.5, 2.0), ("cnn", 3, 0.2, 0.25, 3.0), ("faster_rcnn", 2, 0.0, 0.9, 5.0)]
    table = pd.DataFrame(rows, columns=["network", "digits", "overlap", "reading_accuracy", "milliseconds"])
    assert list(told(one_and_many(table)).values()) == [
        [("CNN", "1.0 ms", 0.25), ("Faster R-CNN", "4.0 ms", 1.0)],
        [("CNN", "37.5%", 0.375), ("Faster R-CNN", "90.0%", 0.9)],
    ]


def test_fine_tuning_is_told_by_what_is_free_from_trials_made_in_every_way():
    table = trials(frozen=(0.96, 10.0), free=(0.98, 40.0)).table
    unfinished = {"network": "vgg16", "backbone": "glyphs", "freedom": "all frozen", "seed": 1, "seconds": 99.0}
    table = pd.concat([table, pd.DataFrame([unfinished | {"accuracy": 0.1}])], ignore_index=True)
    ((lines),) = by_freedom(table).values()
    assert told({"": lines})[""] == [("All frozen", "10 s: 96.0%", 0.25), ("All free", "40 s: 98.0%", 1.0)]
    assert not {bar.colour for bar in lines} & {spec.colour for spec in MODELS.values()}  # a mean is no network


def test_data_hunger_is_told_at_both_ends():
    rows = [("cnn", 100, 0.8), ("cnn", 100, 0.6), ("vit", 100, 0.4), ("cnn", 900, 0.9), ("vit", 900, 0.8)]
    rows += [("cnn", 10_000, 0.98), ("vit", 10_000, 0.97), ("vgg16", 10_000, 0.5)]
    assert told(few_and_many(pd.DataFrame(rows, columns=["network", "size", "accuracy"]))) == {
        "Misread after 100 training digits": [("CNN", "30%", 0.5), ("ViT", "60%", 1)],
        "Misread after 10,000 training digits": [("CNN", "2%", 0.667), ("ViT", "3%", 1)],
    }


def test_tables_without_the_networks_have_no_bars():
    assert not any(few_and_many(pd.DataFrame({"network": ["vgg16"], "size": [100], "accuracy": [0.9]})).values())
    alone = {"network": ["cnn"], "digits": [1], "overlap": [-0.25], "reading_accuracy": [0.9], "milliseconds": [1.0]}
    assert [len(lines) for lines in one_and_many(pd.DataFrame(alone)).values()] == [1, 0]
    skipped = trials().table.assign(accuracy=float("nan"), seconds=float("nan"))
    assert not any(by_freedom(skipped).values())
