"""Transfer: what is frozen, what is skipped, and findings that follow the numbers."""

import itertools
import json
import math

import pandas as pd
import pytest
from torch import nn

from atelier.models import backbones
from atelier.models.finetuned import load_features
from atelier.studies.transfer import STUDY, THAWED
from atelier.zoo import MODELS


def table(accuracies, seconds=(10, 30, 300), loss=0.2):
    """Both networks, two seeds; random layers read `loss` less."""
    return pd.DataFrame(
        {
            "network": network,
            "backbone": backbone,
            "freedom": freedom,
            "seed": seed,
            "accuracy": accuracy - (loss if backbone == "none" else 0) + (seed - 0.5) / 500,
            "seconds": float(taken),
        }
        for network, backbone, seed in itertools.product(("vgg16", "alexnet"), ("glyphs", "none"), (0, 1))
        for freedom, accuracy, taken in zip(THAWED, accuracies, seconds, strict=True)
    )


BLOCK = table((0.93, 0.986, 0.99))


def test_points_are_all_combinations():
    whole, quick = (pd.DataFrame(STUDY.points(quick)) for quick in (False, True))
    assert len(whole) == 3 * len(quick) == 3 * 2 * 3 * 3
    assert set(quick.network) == {"vgg16", "alexnet"}
    assert quick.seed.nunique() == 1


@pytest.mark.parametrize("network", ["vgg16", "alexnet"])
def test_the_last_block_is_what_follows_the_last_pooling_but_one(network):
    features, _ = load_features(network, "none")
    pools = [place for place, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    convolutions = [place for place, layer in enumerate(features) if isinstance(layer, nn.Conv2d)]
    assert THAWED["all free"][network] == len(convolutions)
    assert THAWED["last block free"][network] == sum(place > pools[-2] for place in convolutions)


@pytest.mark.parametrize(
    ("freedom", "trained"),
    [("all frozen", 256 * 256 + 256 + 256 * 10 + 10), ("all free", 2_538_058)],  # the head; README's table
)
def test_a_point_is_measured(freedom, trained):
    point = {"network": "alexnet", "backbone": "none", "freedom": freedom, "seed": 0, "size": 50, "digits": 20}
    *signs, row = STUDY.measure(point, "cpu")
    assert set(signs) == {None}
    assert row.items() >= point.items()
    assert row["trained_parameters"] == trained
    assert 0 <= row["accuracy"] <= 1
    assert row["seconds"] > 0


def test_without_the_file_imagenet_is_skipped_and_says_why(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda network: False)
    point = next(point for point in STUDY.points(True) if point["backbone"] == "imagenet")
    (row,) = STUDY.measure(point, "cpu")
    assert math.isnan(row["accuracy"])
    assert "not on this computer" in row["note"]
    found = STUDY.findings(pd.DataFrame([row]))
    assert "measured" in found.sentences[0]
    assert not STUDY.figure(pd.DataFrame([row])).data


def test_other_numbers_other_findings():
    found = STUDY.findings(BLOCK)
    assert STUDY.answers[found.right].startswith("The last block")
    assert "best is “last block free”, 98.6% after 30 s on average; " in found.sentences[0]
    assert "“all free” reads 99.00% after 300 s" in found.sentences[0]
    assert found.sentences[1] == (
        "Having learnt to see on letters is worth, in percentage points, +20.0 if all frozen, +20.0 if last block "
        "free, +20.0 if all free."
    )

    swapped = STUDY.findings(
        BLOCK.replace({"freedom": {"last block free": "all frozen", "all frozen": "last block free"}})
    )
    assert STUDY.answers[swapped.right].startswith("Only its new head")
    much = STUDY.findings(table((0.93, 0.95, 0.99)))
    assert STUDY.answers[much.right].startswith("Everything")
    worse = STUDY.findings(BLOCK.replace({"backbone": {"glyphs": "none", "none": "glyphs"}}))
    assert "-20.0 if all frozen" in worse.sentences[1]
    assert "best is “last block free”, 78.6% after 30 s" in worse.sentences[0]
    assert STUDY.answers[worse.right].startswith("The last block")  # each way reads as much less


def test_with_too_little_there_is_no_answer():
    assert STUDY.findings(BLOCK.assign(accuracy=float("nan"))).right is None


def test_any_part_of_a_table_has_findings_and_a_figure():
    parts = [
        BLOCK.iloc[rows] for rows in ([0], [6], [0, 1], [0, 6], [0, 7], [0, 18])
    ]  # the last two: nothing in common
    for part in parts:
        found = STUDY.findings(part)
        assert found.right in (None, *range(len(STUDY.answers)))
        assert all(sentence.endswith(".") for sentence in found.sentences)
        json.loads(STUDY.figure(part).to_json())


def test_the_figure_leads_from_frozen_to_free():
    lines = STUDY.figure(BLOCK).data
    assert {line.name for line in lines} == {
        "VGG16, letters",
        "VGG16, random layers",
        "AlexNet, letters",
        "AlexNet, random layers",
    }
    vgg = next(line for line in lines if line.name == "VGG16, letters")
    assert list(vgg.x) == [10, 30, 300]
    assert list(vgg.y) == pytest.approx([0.07, 0.014, 0.01])
    assert list(vgg.text) == list(THAWED)
    assert vgg.line.color == MODELS["vgg16"].colour
