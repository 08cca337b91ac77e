"""Transfer: which layers are trained, what cannot be measured, and findings that follow the numbers."""

import itertools
import math

import pandas as pd
import pytest

from atelier.models import backbones
from atelier.studies.transfer import BLOCK, FREE, FREEDOMS, FROZEN, STUDY, by_freedom, gains_by_source, thawed
from atelier.zoo import MODELS


def table(accuracies, seconds=(10, 30, 300), loss=0.2):
    """Both networks, two seeds; random weights reach `loss` less."""
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
        for freedom, accuracy, taken in zip(FREEDOMS, accuracies, seconds, strict=True)
    )


TABLE = table((0.93, 0.986, 0.99))


def test_points_are_all_combinations():
    whole, quick = (pd.DataFrame(STUDY.points(quick)) for quick in (False, True))
    assert len(whole) == 3 * len(quick) == 3 * 2 * 3 * 3
    assert set(quick.network) == {"vgg16", "alexnet"}
    assert quick.seed.nunique() == 1


@pytest.mark.parametrize(("network", "convolutions"), [("vgg16", (0, 3, 13)), ("alexnet", (0, 3, 5))])
def test_thawed_convolutions_are_those_of_the_architecture(network, convolutions):
    assert tuple(thawed(network, freedom) for freedom in FREEDOMS) == convolutions


@pytest.mark.parametrize(
    ("freedom", "trained"),
    [(FROZEN, 256 * 256 + 256 + 256 * 10 + 10), (FREE, 2_538_058)],  # the head by hand; README's table
)
def test_a_point_is_measured(freedom, trained):
    point = {"network": "alexnet", "backbone": "none", "freedom": freedom, "seed": 0, "size": 50, "digits": 20}
    *signs, row = STUDY.measure(point, "cpu")
    assert set(signs) == {None}
    assert row.items() >= point.items()
    assert row["trained_parameters"] == trained
    assert 0 <= row["accuracy"] <= 1
    assert row["seconds"] > 0


def test_missing_imagenet_weights_give_a_row_with_a_note(monkeypatch):
    monkeypatch.setattr(backbones, "is_here", lambda network: False)
    point = next(point for point in STUDY.points(True) if point["backbone"] == "imagenet")
    (row,) = STUDY.measure(point, "cpu")
    assert math.isnan(row["accuracy"])
    assert row["note"]
    assert STUDY.findings(pd.DataFrame([row])).answer is None
    assert not STUDY.figure(pd.DataFrame([row])).data


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        (TABLE, BLOCK),
        (TABLE.replace({"freedom": {BLOCK: FROZEN, FROZEN: BLOCK}}), FROZEN),
        (table((0.93, 0.95, 0.99)), FREE),
        (TABLE.assign(accuracy=float("nan")), None),
    ],
)
def test_fastest_freedom_within_half_a_point_of_the_best_is_the_answer(numbers, answer):
    assert STUDY.findings(numbers).answer == answer


def test_means_and_gains_by_hand():
    means = by_freedom(TABLE[TABLE.backbone == "glyphs"])
    assert means.accuracy.to_dict() == pytest.approx({FROZEN: 0.93, BLOCK: 0.986, FREE: 0.99})
    assert means.seconds.to_dict() == {FROZEN: 10, BLOCK: 30, FREE: 300}
    assert gains_by_source(TABLE)["glyphs"].to_dict() == pytest.approx(dict.fromkeys(FREEDOMS, 0.2))
    swapped = TABLE.replace({"backbone": {"glyphs": "none", "none": "glyphs"}})
    assert gains_by_source(swapped)["glyphs"].to_dict() == pytest.approx(dict.fromkeys(FREEDOMS, -0.2))


def test_figure_leads_from_frozen_to_free():
    lines = STUDY.figure(TABLE).data
    assert len(lines) == 4  # two networks, pretrained or not
    vgg = next(line for line in lines if line.line.color == MODELS["vgg16"].colour and line.line.dash == "solid")
    assert list(vgg.x) == [10, 30, 300]
    assert list(vgg.y) == pytest.approx([0.07, 0.014, 0.01])
    assert list(vgg.text) == [label for label, _ in FREEDOMS.values()]
