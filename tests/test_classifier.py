"""The Python interface that a notebook uses, and the weights that ship."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import atelier
from atelier import checkpoint
from atelier.checkpoint import CheckpointError
from atelier.data import hands, mnist, scenes
from atelier.evaluation.metrics import classification_metrics, mean_average_precision

SHIPPED = {  # the least accuracy on the test digits, and on the pen strokes
    "cnn": (0.9960, 0.97),
    "faster_rcnn": (0.9900, 0.93),
    "vgg16": (0.9940, 0.97),
    "alexnet": (0.9920, 0.97),
    "vit": (0.9940, 0.97),
}
EVERY = {"cnn": 1, "alexnet": 5, "vit": 5, "faster_rcnn": 10, "vgg16": 10}  # of the test digits: slow ones read fewer


@pytest.fixture(scope="module", params=atelier.MODELS)
def classifier(request):
    return atelier.load(request.param, device="cpu")


def test_shipped_accuracy_on_the_test_set(classifier):
    images, labels = mnist.load("test")
    step = EVERY[classifier.spec.name]
    measured = classification_metrics(classifier.predict_proba(images[::step]), labels[::step])
    assert measured["accuracy"] >= SHIPPED[classifier.spec.name][0]
    assert classifier.card["accuracy"] >= SHIPPED[classifier.spec.name][0]
    for name in ("accuracy", "macro_f1", "loss"):  # the card tells what is true
        assert classifier.card[name] == pytest.approx(measured[name], abs=5e-4 if step == 1 else 0.01)


def test_shipped_accuracy_on_the_pen_strokes(classifier):
    images, labels, _ = hands.pen_strokes()
    assert np.mean(classifier.predict(images) == labels) >= SHIPPED[classifier.spec.name][1]


def test_the_shipped_detector_finds_the_digits_of_scenes(monkeypatch):
    few = scenes.measuring_scenes(300)
    monkeypatch.setattr(scenes, "measuring_scenes", lambda: few)
    measured = mean_average_precision(atelier.load("faster_rcnn", "cpu"))
    assert measured["map50"] >= 0.97
    assert measured["map50_95"] >= 0.80


def test_boxes_are_in_the_pixels_of_the_scene_whatever_its_size():
    detector = atelier.load("faster_rcnn", "cpu")
    scene = scenes.random_scene("test", np.random.default_rng(5), digits=3)
    found = detector.detect(scene.picture).above(0.5)
    assert found.reading == scene.reading
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.labels.dtype == np.int64
    assert found.probabilities.sum(1).max() <= 1
    for factor in (0.7, 4):
        size = [round(side * factor) for side in reversed(scene.picture.shape)]
        larger = np.asarray(Image.fromarray(scene.picture).resize(size, Image.Resampling.BILINEAR))
        again = detector.detect(larger).above(0.5)
        assert again.reading == scene.reading
        order, as_before = np.argsort(again.boxes[:, 0]), np.argsort(found.boxes[:, 0])
        assert np.abs(again.boxes[order] / factor - found.boxes[as_before]).max() < 6
    assert len(detector.detect(np.zeros((5, 900), np.uint8)).above(0.5).labels) == 0
    for wrong in (scene.picture / 255, scene.picture[None], np.zeros((0, 9), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            detector.detect(wrong)
        with pytest.raises(ValueError, match="uint8"):
            detector.read_pieces(wrong)


def test_attention_of_the_shipped_transformer():
    vit = atelier.load("vit", "cpu")
    config, image = vit.network.config, mnist.load("test")[0][0]
    attention = vit.attention(image)
    tokens = 1 + (28 // config.patch_size) ** 2
    assert attention.shape == (config.depth, config.heads, tokens, tokens)
    assert attention.dtype == np.float32
    assert np.allclose(attention.sum(-1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="uint8"):
        vit.attention(image / 255)


def test_what_a_network_does_not_have_is_refused_with_a_sentence():
    cnn = atelier.load("cnn", "cpu")
    with pytest.raises(TypeError, match="no boxes"):
        cnn.detect(np.zeros((112, 112), np.uint8))
    with pytest.raises(TypeError, match="no attention"):
        cnn.attention(np.zeros((28, 28), np.uint8))


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
def test_any_number_of_digits(classifier, count):
    images = np.resize(mnist.load("test")[0], (count, 28, 28))
    probabilities = classifier.predict_proba(images)
    assert probabilities.shape == (count, 10)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    predicted = classifier.predict(images)
    assert predicted.dtype == np.int64
    assert (predicted == probabilities.argmax(axis=1)).all()


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
    for card, sentence in (
        ({"model": "rnn"}, "no network 'rnn'"),
        ({"model": []}, "no network"),
        ({"model": "cnn"}, "do not fit"),
    ):
        checkpoint.save(path, {"weight": torch.zeros(3)}, card)
        with pytest.raises(CheckpointError, match=sentence):
            atelier.load(str(path))
