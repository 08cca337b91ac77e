"""Cost: operations counted by hand, and findings that follow the numbers."""

import pandas as pd
import pytest

from atelier.checkpoint import read_card
from atelier.studies.cost import STUDY, training_multiply_adds
from atelier.zoo import MODELS


def table(**multiply_adds):
    """Networks by their multiply-adds for an answer; each trained ten times as long as the one before."""
    return pd.DataFrame(
        {
            "network": name,
            "accuracy": 0.99 - number / 100,
            "training_seconds": 10.0 * 10**number,
            "training_device": "2 CPU cores",
            "training_multiply_adds": 1_000 * count,
            "latency_p50_ms": 1.0 + number,
            "multiply_adds": count,
        }
        for number, (name, count) in enumerate(multiply_adds.items())
    )


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ({"cnn": 1_000_000, "vgg16": 400_000_000}, "over_30"),
        ({"cnn": 10_000_000, "vgg16": 300_000_000}, "3_to_30"),
        ({"cnn": 2_000_000, "vgg16": 1_000_000}, "under_3"),
        ({"cnn": 1}, None),
    ],
)
def test_findings_follow_the_numbers(counts, answer):
    assert STUDY.findings(table(**counts)).answer == answer


def test_training_times_of_different_devices_are_not_compared():
    mixed = table(cnn=10, vgg16=20, vit=30)
    mixed.loc[1, "training_device"] = "1 CPU core"
    assert "100 times" in STUDY.findings(mixed).sentences[-1]  # of the CNN and the ViT
    figure = STUDY.figure(mixed)
    assert [dots.x[0] for dots in figure.data] == pytest.approx([1, float("nan"), 100 * 0.99 / 0.97], nan_ok=True)


def test_training_multiply_adds_are_those_calculated_by_hand():
    """Three products per layer: forward, to its weights and to its inputs, except to the first layer's."""
    layers = [
        16 * 1 * 5 * 5 * 24 * 24,  # filters, channels, filter size, places
        32 * 16 * 3 * 3 * 12 * 12,
        64 * 32 * 3 * 3 * 12 * 12,
        128 * 64 * 3 * 3 * 6 * 6,
        1_152 * 128,
        128 * 10,
    ]
    card = read_card(MODELS["cnn"].checkpoint)
    shorter = card["recipe"] | {"epochs": 3, "train_size": 130, "batch_size": 20}  # six whole batches per epoch
    measured = training_multiply_adds(card | {"recipe": shorter}, "cpu")
    assert measured == pytest.approx(3 * 6 * 20 * (3 * sum(layers) - layers[0]), rel=0.01)  # augmentation does some
