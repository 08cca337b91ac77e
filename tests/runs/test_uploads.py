"""What somebody brings becomes a run, or is refused in one sentence; the same goes for loading it by its path."""

import dataclasses
import errno
import io
import json
import math
import pickle

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import atelier
from atelier import MODELS, checkpoint
from atelier.checkpoint import TRAINING_STATE, CheckpointError, weights
from atelier.data import mnist
from atelier.models import backbones
from atelier.recipe import Recipe
from atelier.runs import uploads
from atelier.runs.folder import Run
from atelier.runs.recorder import read_recipe, train
from atelier.runs.uploads import receive

SMALL = {
    "cnn": {"channels": [2, 2, 2, 2], "hidden": 8},
    "faster_rcnn": {"channels": 4, "hidden": 8},
    "alexnet": {"backbone": "glyphs", "hidden": 8},
    "vit": {"dim": 8, "depth": 1, "heads": 2},
}
RESULT = {"accuracy": 0.5, "macro_f1": 0.25, "loss": 1.5, "seconds": 12.25, "validation_accuracy": 0.75}
CARD = {
    "recipe": dataclasses.asdict(Recipe(epochs=3)),
    "device_name": "2 CPU cores",
    "precision": "32-true",
    "data": mnist.fingerprint(),
    "versions": {"torch": "2.11"},
    **RESULT,
}


def file_of(tmp_path, name, config=None, card=None, **changed):
    """The bytes of a checkpoint of a small network; `card` changes its card, `changed` its tensors."""
    torch.manual_seed(0)
    network = MODELS[name].build(SMALL[name])
    told = {"model": name, "config": dataclasses.asdict(network.config) | (config or {})} | CARD
    checkpoint.save(tmp_path / "written", weights(network) | changed, told | (card or {}))
    return (tmp_path / "written").read_bytes()


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_checkpoint_becomes_a_run_that_answers_alike(name, runs):
    with open(MODELS[name].checkpoint, "rb") as file:
        run = receive(file, runs)
    assert list(runs.iterdir()) == [run.folder]
    assert Run.open(runs, run.id).status() == ("done", "Uploaded.")
    shipped, again = atelier.load(name, "cpu"), atelier.load(str(run.folder), "cpu")
    images = mnist.load("val")[0][:4]
    assert np.array_equal(again.predict_proba(images), shipped.predict_proba(images))
    card = shipped.card
    assert run.read("config.json") == {
        "model": name,
        "network": json.loads(json.dumps(dataclasses.asdict(shipped.network.config))),
        "recipe": json.loads(json.dumps(dataclasses.asdict(read_recipe(card)))),
        "device": "cpu",
        "uploaded": True,
        **{key: card[key] for key in ("device_name", "precision", "data", "versions")},
    }
    assert run.read("result.json") == {key: card[key] for key in RESULT}
    assert {key: again.card[key] for key in RESULT} == run.read("result.json")
    assert run.metrics() == []


def test_of_a_runs_last_checkpoint_the_weights_are_kept_alone(runs, tmp_path):
    state = {f"{TRAINING_STATE}random": torch.zeros(5000, dtype=torch.uint8)}
    content = file_of(tmp_path, "vit", card={"progress": {"step": 5}}, **state)
    run = receive(content, runs)
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    assert tensors.keys() == MODELS["vit"].build(SMALL["vit"]).state_dict().keys()
    assert "progress" not in card
    assert run.path("best.safetensors").stat().st_size < len(content) - 5000


def test_the_files_of_a_real_run_are_received(runs, tmp_path):
    recipe = Recipe(epochs=1, batch_size=50, train_size=100, precision="32-true")
    config = {"model": "cnn", "network": SMALL["cnn"], "device": "cpu"} | CARD
    config |= {"recipe": dataclasses.asdict(recipe)}
    trained = Run.create(tmp_path, config)
    list(train(config, trained))
    for name in ("best", "last"):
        run = receive(trained.path(f"{name}.safetensors").read_bytes(), runs)
        assert read_recipe(run.read("config.json")) == recipe
        assert atelier.load(str(run.folder), "cpu").network.config.hidden == 8
        assert run.path("result.json").exists() == (name == "best")
    assert run.id != receive(io.BytesIO(trained.path("last.safetensors").read_bytes()), runs).id


UNTRUE = {"accuracy": 1.5, "macro_f1": "0.9", "loss": math.nan, "seconds": -1, "validation_accuracy": True}


@pytest.mark.parametrize("name", UNTRUE)
def test_numbers_that_cannot_be_true_are_left_out(runs, tmp_path, name):
    run = receive(file_of(tmp_path, "cnn", card={name: UNTRUE[name]}), runs)
    rest = {key: value for key, value in RESULT.items() if key != name}
    assert run.read("result.json") == ({} if name == "accuracy" else rest)
    card = checkpoint.read_card(run.path("best.safetensors"))
    assert {key: card[key] for key in RESULT if key in card} == rest


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


WRONG_STORIES = {
    "nothing": dict.fromkeys(CARD),
    "lists": dict.fromkeys(CARD, ((1,),)),
    "texts": dict.fromkeys(CARD, "x" * 5000),
    "brackets in brackets": {"recipe": {"epochs": 3, "seed": nested(450), "augmentation": {}}},
    "another recipe": {"recipe": {"epochs": 3, "patience": 2, "augmentation": {}}},
}


@pytest.mark.parametrize("what", WRONG_STORIES)
def test_a_card_that_tells_nonsense_of_the_training_costs_no_more_than_its_story(runs, tmp_path, what):
    run = receive(file_of(tmp_path, "cnn", card=WRONG_STORIES[what]), runs)
    config = run.read("config.json")
    assert config["recipe"] == {}
    assert all(type(config[key]) is str and len(config[key]) <= 80 for key in ("device_name", "precision", "data"))
    assert all(type(version) is str for version in config["versions"].values())
    assert run.path("best.safetensors").stat().st_size < 50_000


HUGE = 10**9
REFUSED_SIZES = {
    "a ViT of depth 10^9": ("vit", {"depth": HUGE}, "depth must be a whole number from 1 to 24"),
    "a ViT of width 10^6": ("vit", {"dim": 10**6}, "dim must be"),
    "a ViT of no width": ("vit", {"dim": 0}, "dim must be"),
    "a ViT with an odd width": ("vit", {"dim": 10, "heads": 1}, "multiple of 4"),
    "a ViT with many heads": ("vit", {"heads": HUGE}, "heads must be"),
    "a ViT with no heads": ("vit", {"heads": 0}, "heads must be"),
    "a ViT with a huge MLP": ("vit", {"mlp_ratio": HUGE}, "mlp_ratio must be"),
    "a ViT of single pixels": ("vit", {"patch_size": 1}, "patch_size"),
    "a ViT whose depth is a text": ("vit", {"depth": "3"}, "depth must be a whole number from 1 to 24, not '3'"),
    "a ViT whose depth is nothing": ("vit", {"depth": None}, "depth must be"),
    "a ViT whose depth is a fraction": ("vit", {"depth": 2.5}, "depth must be"),
    "a ViT whose depth is true": ("vit", {"depth": True}, "depth must be"),
    "a ViT whose depth is a list": ("vit", {"depth": [3]}, "depth must be"),
    "a ViT whose dropout is no number": ("vit", {"dropout": math.nan}, "dropout must be a number from 0 to 0.99"),
    "a ViT whose size is a novel": ("vit", {"dim": "x" * 10**5}, "dim must be"),
    "a ViT whose size has 4000 digits": ("vit", {"dim": 10**4000}, "dim must be"),
    "a CNN of many filters": ("cnn", {"channels": [16, 32, 64, HUGE]}, "each of channels must be"),
    "a CNN of no filters": ("cnn", {"channels": [16, 0, 64, 128]}, "each of channels must be"),
    "a CNN of three layers": ("cnn", {"channels": [16, 32, 64]}, "channels must be 4 numbers"),
    "a CNN whose filters are a text": ("cnn", {"channels": "abcd"}, "channels must be 4 numbers"),
    "a CNN whose filters are one number": ("cnn", {"channels": 16}, "channels must be 4 numbers"),
    "a CNN whose filters are lists": ("cnn", {"channels": [[1], [2], [3], [4]]}, "each of channels must be"),
    "a CNN of a huge hidden layer": ("cnn", {"hidden": HUGE}, "hidden must be"),
    "a CNN that silences everything": ("cnn", {"dropout": 1.0}, "dropout must be"),
    "a detector of many features": ("faster_rcnn", {"channels": HUGE}, "channels must be"),
    "a detector of a huge head": ("faster_rcnn", {"hidden": HUGE}, "hidden must be"),
    "a detector of many anchors": ("faster_rcnn", {"anchor_sizes": [20.0] * 6}, "anchor_sizes must be 1 to 5 numbers"),
    "a detector of no anchors": ("faster_rcnn", {"anchor_shapes": []}, "anchor_shapes must be 1 to 5 numbers"),
    "a detector of huge anchors": ("faster_rcnn", {"anchor_sizes": [1e30]}, "each of anchor_sizes must be"),
    "a detector of anchors that are texts": ("faster_rcnn", {"anchor_shapes": ["2"]}, "each of anchor_shapes must be"),
    "an AlexNet of a huge input": ("alexnet", {"input_size": 10**6}, "input_size must be"),
    "an AlexNet of a tiny input": ("alexnet", {"input_size": 28}, "input_size"),
    "an AlexNet of a huge head": ("alexnet", {"hidden": HUGE}, "hidden must be"),
    "an AlexNet that thaws too much": ("alexnet", {"thawed": 6}, "thawed"),
    "an AlexNet from elsewhere": ("alexnet", {"backbone": "http://example.org"}, "backbone must be one of"),
    "an AlexNet from a list": ("alexnet", {"backbone": ["glyphs"]}, "backbone must be one of"),
    "an AlexNet whose fingerprint is a novel": ("alexnet", {"fingerprint": "x" * 10**5}, "fingerprint must be"),
    "an AlexNet whose fingerprint is nothing": ("alexnet", {"fingerprint": None}, "fingerprint must be"),
    "an AlexNet on another backbone": ("alexnet", {"fingerprint": "0123456789abcdef"}, "0123456789abcdef"),
    "another width than the weights have": ("cnn", {"hidden": 9}, "do not fit the network cnn"),
    "another depth than the weights have": ("vit", {"depth": 2}, "do not fit the network vit"),
    "a size that there is not": ("cnn", {"width": 3}, "do not fit the network cnn"),
}
REFUSED_CARDS = {
    "an unknown network": ({"model": "rnn"}, "no network 'rnn'"),
    "a network whose name is a novel": ({"model": "x" * 10**5}, "no network 'xxx"),
    "a network whose name is a list": ({"model": ["cnn"]}, "no network"),
    "another network": ({"model": "vit"}, "do not fit the network vit"),
    "sizes of another network": ({"config": {"dim": 8}}, "do not fit the network cnn"),
    "sizes that are a list": ({"config": [8]}, "do not fit the network cnn"),
    "sizes that are a text": ({"config": "small"}, "do not fit the network cnn"),
    "a newer version": ({"version": 99}, "newer version"),
    "a version that is a text": ({"version": "1"}, "damaged model card"),
    "another format": ({"format": "theirs"}, "not written by this project"),
    "a backbone's weights": ({"model": "alexnet", "kind": "backbone", "config": None}, "do not fit"),
}
REFUSED_TENSORS = {
    "values that are no numbers": ({"classifier.4.bias": torch.full((10,), math.nan)}, "no numbers"),
    "infinite values": ({"classifier.4.bias": torch.full((10,), math.inf)}, "no numbers"),
    "values too large": ({"classifier.4.bias": torch.full((10,), 1e300, dtype=torch.float64)}, "no numbers"),
    "answers that are no numbers": (
        {"classifier.1.bias": torch.full((8,), 3e38), "classifier.4.weight": torch.ones(10, 8)},
        "no numbers",
    ),
    "a tensor too many": ({"extra": torch.zeros(1)}, "do not fit"),
    "a tensor of another shape": ({"classifier.4.bias": torch.zeros(11)}, "do not fit"),
}


def refused_files():
    """Each refusal: a function from a folder to the bytes, and a piece of the sentence."""
    for what, (name, config, sentence) in REFUSED_SIZES.items():
        yield pytest.param(lambda p, n=name, c=config: file_of(p, n, config=c), sentence, id=what)
    for what, (card, sentence) in REFUSED_CARDS.items():
        yield pytest.param(lambda p, c=card: file_of(p, "cnn", card=c), sentence, id=what)
    for what, (tensors, sentence) in REFUSED_TENSORS.items():
        yield pytest.param(lambda p, t=tensors: file_of(p, "cnn", **t), sentence, id=what)
    for cut in (0, 4, 8, 100, 2000, -1):
        sentence = "cut off|not a safetensors file"
        yield pytest.param(lambda p, c=cut: file_of(p, "cnn")[:c], sentence, id=f"cut off at {cut}")
    yield pytest.param(lambda p: pickle.dumps({"weight": [1] * 1000}), "not a safetensors file", id="a pickle")
    yield pytest.param(torch_file, "not a safetensors file", id="a file of torch.save")
    yield pytest.param(foreign_file, "not written by this project", id="somebody else's safetensors")
    yield pytest.param(backbone_file, "no network|do not fit", id="a shipped backbone")


def torch_file(folder):
    torch.save({"weight": torch.zeros(3)}, folder / "weights.pth")
    return (folder / "weights.pth").read_bytes()


def foreign_file(folder):
    save_file({"weight": torch.zeros(3)}, folder / "theirs.safetensors")
    return (folder / "theirs.safetensors").read_bytes()


def backbone_file(folder):
    return MODELS["alexnet"].backbone.read_bytes()


@pytest.mark.parametrize(("write", "sentence"), list(refused_files()))
def test_what_cannot_be_used_is_refused_in_one_sentence_and_nothing_stays(tmp_path, runs, write, sentence):
    content = write(tmp_path)
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        receive(content, runs)
    assert not any(runs.iterdir())
    said = str(refusal.value)
    assert said.endswith(".")
    assert len(said) < 300
    assert "\n" not in said
    assert str(tmp_path) not in said

    file = tmp_path / "upload.safetensors"
    file.write_bytes(content)
    if said.endswith("give answers that are no numbers."):
        return  # loading does not try
    with pytest.raises(CheckpointError) as again:
        atelier.load(str(file), "cpu")
    assert str(again.value) == said


def test_what_is_larger_than_allowed_is_not_read_to_its_end(runs):
    endless = io.BytesIO(bytes(uploads.LARGEST_UPLOAD + 1000))
    with pytest.raises(CheckpointError, match="larger than 64 MB"):
        receive(endless, runs)
    assert endless.tell() == uploads.LARGEST_UPLOAD + 1
    with pytest.raises(CheckpointError, match="larger than 64 MB"):
        receive(bytes(uploads.LARGEST_UPLOAD + 1), runs)
    assert not runs.exists()


def test_a_strangers_file_starts_no_download(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(backbones, "fetch", lambda architecture: pytest.fail("fetched"))
    with pytest.raises(backbones.BackboneError, match="ImageNet weights of alexnet"):
        receive(file_of(tmp_path, "alexnet", config={"backbone": "imagenet"}), runs)
    assert not any(runs.iterdir())


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_is_said_and_nothing_stays(runs, tmp_path, monkeypatch, error):
    def save_half(path, tensors, card):
        path.write_bytes(b"half")
        raise error

    content = file_of(tmp_path, "cnn")
    monkeypatch.setattr(checkpoint, "save", save_half)
    with pytest.raises(CheckpointError, match="No space left on device"):
        receive(content, runs)
    assert not any(runs.iterdir())


def test_nobody_sees_half_an_upload(runs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Run, "set_status", spied(Run.set_status, lambda: seen.extend(runs.glob("*/config.json"))))
    receive(file_of(tmp_path, "cnn"), runs)
    assert seen == []
    assert len(list(runs.glob("*/config.json"))) == 1


def spied(function, look):
    def spy(*arguments):
        look()
        return function(*arguments)

    return spy
