import pandas as pd
import pytest

from atelier.checkpoint import read_card
from atelier.studies.cost import STUDY, training_multiply_adds
from atelier.zoo import MODELS


def table(**work):
    """Networks by their multiply-adds for an answer; each was trained ten times as long as the one before."""
    rows = [
        {
            "network": name,
            "accuracy": 0.99 - number / 100,
            "training_seconds": 10.0 * 10**number,
            "training_device": "2 CPU cores",
            "training_multiply_adds": 1_000 * multiply_adds,
            "latency_p50_ms": 1.0 + number,
            "multiply_adds": multiply_adds,
        }
        for number, (name, multiply_adds) in enumerate(work.items())
    ]
    return pd.DataFrame(rows)


def test_the_sentences_follow_the_numbers():
    findings = STUDY.findings(table(cnn=1_000_000, vgg16=400_000_000))
    assert STUDY.answers[findings.right] == "More than thirty times as much"
    assert findings.sentences == (
        "To read one digit, the VGG16 does 400 times the arithmetic of the CNN, and reads 98.00% right instead of "
        "99.00%: 2.45 right answers per thousand million multiply-adds instead of 990.",
        "On 2 CPU cores, the VGG16 trained 100 s for 98.00% and the CNN 10 s for 99.00%: 0.98 percentage points a "
        "second of training instead of 9.9.",
    )
    swapped = STUDY.findings(table(cnn=2_000_000, vgg16=1_000_000))
    assert STUDY.answers[swapped.right] == "Less than three times as much"
    assert swapped.sentences[0].startswith("To read one digit, the CNN does 2 times the arithmetic of the VGG16")


@pytest.mark.parametrize("names", [("vit",), ("alexnet", "cnn"), tuple(MODELS)])
def test_any_part_of_the_table_has_findings_and_a_figure(names):
    part = table(**dict.fromkeys(names, 1_000))
    assert all(STUDY.findings(part).sentences)
    assert len(STUDY.figure(part).data) == len(names)


def test_seconds_of_different_devices_are_not_compared():
    mixed = table(cnn=10, vgg16=20, vit=30)
    mixed.loc[1, "training_device"] = "1 CPU core"
    assert "VGG16" not in STUDY.findings(mixed).sentences[1]
    figure = STUDY.figure(mixed)
    assert [dots.x[0] for dots in figure.data] == pytest.approx([1, float("nan"), 100 * 0.99 / 0.97], nan_ok=True)
    assert "trained on 2 CPU cores" in figure.layout.title.text
    apart = STUDY.findings(mixed[:2])
    assert "cannot be compared" in apart.sentences[1]


def test_training_multiplies_as_often_as_calculated_by_hand():
    """Three products a layer: forth, back to its weights, back to its inputs; the first layer's inputs need none."""
    layers = [
        16 * 1 * 5 * 5 * 24 * 24,  # filters, channels, filter's size, places
        32 * 16 * 3 * 3 * 12 * 12,
        64 * 32 * 3 * 3 * 12 * 12,
        128 * 64 * 3 * 3 * 6 * 6,
        1_152 * 128,
        128 * 10,
    ]
    card = read_card(MODELS["cnn"].checkpoint)
    shorter = card["recipe"] | {"epochs": 3, "train_size": 130, "batch_size": 20}  # six whole batches an epoch
    measured = training_multiply_adds(card | {"recipe": shorter}, "cpu")
    assert measured == pytest.approx(3 * 6 * 20 * (3 * sum(layers) - layers[0]), rel=0.01)  # augmentation does some
