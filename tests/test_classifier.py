"""The Python interface for notebooks, and the accuracy of the shipped weights."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import atelier
from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.classifier import Classifier
from atelier.data import hands, mnist, scenes
from atelier.evaluation.metrics import classification_metrics, mean_average_precision
from atelier.models.cnn import CNN, CNNConfig
from atelier.models.vit import ViT, ViTConfig
from atelier.zoo import MODELS

SHIPPED = {  # the least accuracy on test digits, and on pen strokes
    "cnn": (0.9960, 0.97),
    "faster_rcnn": (0.9900, 0.93),
    "vgg16": (0.9940, 0.97),
    "alexnet": (0.9920, 0.97),
    "vit": (0.9940, 0.97),
}


NAN = {name: t + torch.nan if t.is_floating_point() else t for name, t in CNN().state_dict().items()}


@pytest.fixture
def tiny():
    """An untrained CNN behind the interface."""
    torch.manual_seed(0)
    return Classifier(MODELS["cnn"], CNN(CNNConfig(channels=(2, 2, 2, 2), hidden=4)), {})


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_shipped_weights_are_as_accurate_as_their_cards(name):
    classifier, (least, least_on_strokes) = atelier.load(name, "cpu"), SHIPPED[name]
    images, labels = mnist.load("test")
    measured = classification_metrics(classifier.predict_proba(images), labels)
    assert measured["accuracy"] >= least
    for key in ("accuracy", "macro_f1", "loss"):
        assert classifier.card[key] == pytest.approx(measured[key], abs=5e-4)
    images, labels, _ = hands.pen_strokes()
    assert np.mean(classifier.predict(images) == labels) >= least_on_strokes


@pytest.mark.parametrize("name", MODELS)
def test_shipped_weights_read_test_digits(name):
    images, labels = (part[:200] for part in mnist.load("test"))
    assert np.mean(atelier.load(name, "cpu").predict(images) == labels) >= 0.98


@pytest.mark.slow
def test_shipped_detector_finds_the_digits_of_scenes():
    measured = mean_average_precision(atelier.load("faster_rcnn", "cpu"))
    assert measured["map50"] >= 0.97
    assert measured["map50_95"] >= 0.80


@pytest.mark.slow
def test_all_networks_together_need_little_memory_and_time(pace):
    code = (
        "import atelier, pathlib\n"
        "from atelier.bench.speed import latency\n"
        "print(sum(latency(atelier.load(name, 'cpu')) for name in atelier.MODELS))\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "print(status.read_text() if status.exists() else '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    milliseconds, *status = done.stdout.splitlines()
    assert float(milliseconds) < 60 * pace
    if sys.platform == "linux":
        (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM"))  # KiB
        assert peak * 1024 < 1.5e9


@pytest.mark.parametrize("count", [0, 1, 3, 101])
def test_any_number_of_digits_has_probabilities(tiny, count):
    images = np.resize(mnist.load("test")[0], (count, 28, 28))
    probabilities, predicted = tiny.predict_proba(images), tiny.predict(images)
    assert (probabilities.shape, probabilities.dtype) == ((count, 10), np.float32)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    assert predicted.dtype == np.int64
    assert (predicted == probabilities.argmax(axis=1)).all()


@pytest.mark.parametrize(
    "wrong", [np.zeros((28, 28), np.uint8), np.zeros((2, 28, 28)), np.zeros((2, 32, 32), np.uint8)]
)
def test_other_shapes_and_types_are_refused(tiny, wrong):
    with pytest.raises(ValueError, match="uint8"):
        tiny.predict_proba(wrong)


def test_boxes_are_in_pixels_of_the_scene_of_any_size():
    detector = atelier.load("faster_rcnn", "cpu")
    scene = scenes.random_scene("test", np.random.default_rng(5), digits=3)
    expected = detector.detect(scene.picture).above(0.5)
    assert len(expected.labels) > 0
    assert expected.boxes.dtype == expected.scores.dtype == np.float32
    assert expected.labels.dtype == np.int64
    assert expected.probabilities.sum(1).max() <= 1
    order = np.argsort(expected.boxes[:, 0])
    assert expected.reading == "".join(map(str, expected.labels[order]))
    for factor in (0.7, 4):
        size = [round(side * factor) for side in reversed(scene.picture.shape)]
        scaled = np.asarray(Image.fromarray(scene.picture).resize(size, Image.Resampling.BILINEAR))
        detections = detector.detect(scaled).above(0.5)
        assert detections.reading == expected.reading
        boxes = detections.boxes[np.argsort(detections.boxes[:, 0])]
        assert np.abs(boxes / factor - expected.boxes[order]).max() < 6
    assert len(detector.detect(np.zeros((5, 900), np.uint8)).above(0.5).labels) == 0
    for wrong in (scene.picture / 255, scene.picture[None], np.zeros((0, 9), np.uint8)):
        for read in (detector.detect, detector.read_pieces):
            with pytest.raises(ValueError, match="uint8"):
                read(wrong)


def test_pieces_are_classified_one_by_one(tiny):
    digit, picture = mnist.load("test")[0][0], np.zeros((60, 200), np.uint8)
    picture[10:38, 20:48] = picture[10:38, 120:148] = digit
    detections = tiny.read_pieces(picture)
    assert [box[0] >= 100 for box in detections.boxes] == [False, True]
    assert np.allclose(detections.probabilities[0], detections.probabilities[1])
    assert detections.scores == pytest.approx(detections.probabilities.max(1))


def test_attention_has_a_row_for_each_token(tiny):
    torch.manual_seed(0)
    config = ViTConfig(patch_size=7, depth=2, heads=3, dim=12)
    vit, image = Classifier(MODELS["vit"], ViT(config), {}), mnist.load("test")[0][0]
    attention = vit.attention(image)
    assert (attention.shape, attention.dtype) == ((2, 3, 17, 17), np.float32)
    assert np.allclose(attention.sum(-1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="uint8"):
        vit.attention(image / 255)


def test_abilities_of_other_families_are_refused(tiny):
    with pytest.raises(TypeError, match="boxes"):
        tiny.detect(np.zeros((112, 112), np.uint8))
    with pytest.raises(TypeError, match="attention"):
        tiny.attention(np.zeros((28, 28), np.uint8))


def test_checkpoint_is_loaded_by_its_path(tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(MODELS["cnn"].checkpoint.read_bytes())
    images = mnist.load("test")[0][:8]
    expected = atelier.load("cnn", "cpu").predict_proba(images)
    assert np.array_equal(atelier.load(str(copy), "cpu").predict_proba(images), expected)


def test_unknown_network_or_device_is_refused():
    with pytest.raises(CheckpointError, match="'rnn'"):
        atelier.load("rnn")
    with pytest.raises(ValueError, match="'tpu'"):
        atelier.load("cnn", device="tpu")


@pytest.mark.parametrize(
    ("card", "tensors", "reason"),
    [
        ({"model": "rnn"}, {}, "'rnn'"),
        ({"model": []}, {}, "no network"),
        ({"model": "cnn"}, {"weight": torch.zeros(3)}, "do not fit"),
        ({"model": "cnn", "config": {"width": 3}}, {}, "do not fit"),
        ({"model": "cnn", "config": {"hidden": -1}}, {}, "hidden"),
        ({"model": "cnn"}, NAN, "numbers"),
    ],
    ids=["unknown network", "no name", "other tensors", "unknown size", "impossible size", "NaN"],
)
def test_checkpoint_that_does_not_fit_is_refused(tmp_path, card, tensors, reason):
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, tensors, card)
    with pytest.raises(CheckpointError, match=reason):
        atelier.load(str(path), "cpu")
