"""The Python interface that a notebook uses, and the weights that ship."""

import numpy as np
import pytest
import torch

import atelier
from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.data import hands, mnist
from atelier.evaluation.metrics import classification_metrics

SHIPPED = {"cnn": 0.9960}


@pytest.fixture(scope="module", params=atelier.MODELS)
def classifier(request):
    return atelier.load(request.param, device="cpu")


def test_shipped_accuracy_on_the_whole_test_set(classifier):
    images, labels = mnist.load("test")
    measured = classification_metrics(classifier.predict_proba(images), labels)
    assert measured["accuracy"] >= SHIPPED[classifier.spec.name]
    for name in ("accuracy", "macro_f1", "loss"):
        assert classifier.card[name] == pytest.approx(measured[name], abs=5e-4)  # the card tells what is true


def test_shipped_accuracy_on_the_pen_strokes(classifier):
    images, labels, _ = hands.pen_strokes()
    assert np.mean(classifier.predict(images) == labels) >= 0.97


@pytest.mark.parametrize("count", [0, 1, 3, 1001])
def test_any_number_of_digits(classifier, count):
    images = np.resize(mnist.load("test")[0], (count, 28, 28))
    probabilities = classifier.predict_proba(images)
    assert probabilities.shape == (count, 10)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    assert classifier.predict(images).dtype == np.int64
    assert (classifier.predict(images) == probabilities.argmax(axis=1)).all()


@pytest.mark.parametrize(
    "wrong", [np.zeros((28, 28), np.uint8), np.zeros((2, 28, 28)), np.zeros((2, 32, 32), np.uint8)]
)
def test_other_shapes_and_types_are_refused(classifier, wrong):
    with pytest.raises(ValueError, match="uint8"):
        classifier.predict_proba(wrong)


def test_a_checkpoint_is_loaded_by_its_path(classifier, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(classifier.spec.checkpoint.read_bytes())
    images = mnist.load("test")[0][:8]
    assert np.array_equal(atelier.load(str(copy), "cpu").predict(images), classifier.predict(images))


def test_what_is_not_there_is_named():
    with pytest.raises(CheckpointError, match="'rnn'"):
        atelier.load("rnn")
    with pytest.raises(ValueError, match="no device 'tpu'"):
        atelier.load("cnn", device="tpu")


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    for card, sentence in (({"model": "rnn"}, "no network 'rnn'"), ({"model": "cnn"}, "do not fit")):
        checkpoint.save(path, {"weight": torch.zeros(3)}, card)
        with pytest.raises(CheckpointError, match=sentence):
            atelier.load(str(path))
