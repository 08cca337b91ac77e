"""The lab report's conclusions against tables whose numbers are known."""

import pandas as pd
import pytest

from atelier.studies import STUDIES
from atelier.studies.conclusions import CONCLUSIONS, by_freedom, few_and_many, misread, one_and_many


@pytest.mark.parametrize("conclusion", CONCLUSIONS, ids=lambda conclusion: conclusion.study)
def test_what_supports_it_are_answers_to_its_study(conclusion):
    answers = STUDIES[conclusion.study].answers
    assert set(conclusion.supported_by) <= set(answers)
    assert len(conclusion.supported_by) < len(answers)  # it could be wrong


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


def test_fine_tuning_is_told_by_what_is_free():
    rows = [("glyphs", "all free", 0.98, 40.0), ("imagenet", "all frozen", 0.96, 10.0), ("none", "all free", 0.5, 9.0)]
    rows += [("imagenet", "all free", float("nan"), float("nan"))]  # skipped
    table = pd.DataFrame(rows, columns=["backbone", "freedom", "accuracy", "seconds"])
    ((lines),) = told(by_freedom(table)).values()
    assert lines == [("All frozen", "10 s: 96.0%", 0.25), ("All free", "40 s: 98.0%", 1.0)]


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
    skipped = {"backbone": ["imagenet"], "freedom": ["all free"], "accuracy": [float("nan")], "seconds": [float("nan")]}
    assert not any(by_freedom(pd.DataFrame(skipped)).values())
