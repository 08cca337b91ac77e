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
    content = {"model": name, "config": dataclasses.asdict(network.config) | (config or {})} | CARD
    checkpoint.save(tmp_path / "written", weights(network) | changed, content | (card or {}))
    return (tmp_path / "written").read_bytes()


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.mark.parametrize("name", MODELS)
def test_shipped_checkpoint_becomes_a_run_with_the_same_answers(name, runs):
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


def test_training_state_of_a_last_checkpoint_is_dropped(runs, tmp_path):
    state = {f"{TRAINING_STATE}random": torch.zeros(5000, dtype=torch.uint8)}
    content = file_of(tmp_path, "vit", card={"progress": {"step": 5}}, **state)
    run = receive(content, runs)
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    assert tensors.keys() == MODELS["vit"].build(SMALL["vit"]).state_dict().keys()
    assert "progress" not in card
    assert run.path("best.safetensors").stat().st_size < len(content) - 5000


def test_files_of_a_real_run_are_received(runs, tmp_path):
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


IMPOSSIBLE = {"accuracy": 1.5, "macro_f1": "0.9", "loss": math.nan, "seconds": -1, "validation_accuracy": True}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_results_are_left_out(runs, tmp_path, name):
    run = receive(file_of(tmp_path, "cnn", card={name: IMPOSSIBLE[name]}), runs)
    rest = {key: value for key, value in RESULT.items() if key != name}
    assert run.read("result.json") == ({} if name == "accuracy" else rest)
    card = checkpoint.read_card(run.path("best.safetensors"))
    assert {key: card[key] for key in RESULT if key in card} == rest


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


DAMAGED_CARDS = {
    "nothing": dict.fromkeys(CARD),
    "lists": dict.fromkeys(CARD, ((1,),)),
    "texts": dict.fromkeys(CARD, "x" * 5000),
    "brackets in brackets": {"recipe": {"epochs": 3, "seed": nested(450), "augmentation": {}}},
    "another recipe": {"recipe": {"epochs": 3, "patience": 2, "augmentation": {}}},
}


@pytest.mark.parametrize("what", DAMAGED_CARDS)
def test_damaged_card_leaves_the_weights_usable(runs, tmp_path, what):
    run = receive(file_of(tmp_path, "cnn", card=DAMAGED_CARDS[what]), runs)
    config = run.read("config.json")
    assert config["recipe"] == {}
    assert all(type(config[key]) is str and len(config[key]) <= 80 for key in ("device_name", "precision", "data"))
    assert all(type(version) is str for version in config["versions"].values())
    assert run.path("best.safetensors").stat().st_size < 50_000


HUGE = 10**9
REFUSED_SIZES = {  # the refusal names the size
    "vit": [
        *({"depth": depth} for depth in (HUGE, "3", None, 2.5, True, [3])),
        *({"dim": dim} for dim in (10**6, 0, 10, "x" * 10**5, 10**4000)),
        *({"heads": heads} for heads in (HUGE, 0)),
        *({"mlp_ratio": HUGE}, {"patch_size": 1}, {"dropout": math.nan}),
    ],
    "cnn": [
        *({"channels": channels} for channels in ([16, 0, 64, HUGE], [16, 32, 64], "abcd", 16, [[1], [2], [3], [4]])),
        *({"hidden": HUGE}, {"dropout": 1.0}),
    ],
    "faster_rcnn": [
        *({"channels": HUGE}, {"hidden": HUGE}, {"anchor_sizes": [20.0] * 6}, {"anchor_sizes": [1e30]}),
        *({"anchor_shapes": []}, {"anchor_shapes": ["2"]}),
    ],
    "alexnet": [
        *({"input_size": 10**6}, {"input_size": 28}, {"hidden": HUGE}, {"thawed": 6}),
        *({"backbone": "http://example.org"}, {"backbone": ["glyphs"]}),
        *({"fingerprint": "x" * 10**5}, {"fingerprint": None}),
    ],
}
MISFITS = [("cnn", {"hidden": 9}), ("vit", {"depth": 2}), ("cnn", {"width": 3})]
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
    "values that are no numbers": ({"classifier.4.bias": torch.full((10,), math.nan)}, "not finite|no numbers"),
    "infinite values": ({"classifier.4.bias": torch.full((10,), math.inf)}, "not finite|no numbers"),
    "values too large": ({"classifier.4.bias": torch.full((10,), 1e300, dtype=torch.float64)}, "not finite|no numbers"),
    "answers that are no numbers": (
        {"classifier.1.bias": torch.full((8,), 3e38), "classifier.4.weight": torch.ones(10, 8)},
        "not finite|no numbers",
    ),
    "a tensor too many": ({"extra": torch.zeros(1)}, "do not fit"),
    "a tensor of another shape": ({"classifier.4.bias": torch.zeros(11)}, "do not fit"),
}


def refused_files():
    """Each refusal: a function from a folder to the bytes, and a piece of the sentence."""
    for name, configs in REFUSED_SIZES.items():
        for config in configs:
            (size,) = config
            yield pytest.param(lambda p, n=name, c=config: file_of(p, n, config=c), size, id=f"{name} {config}"[:50])
    for name, config in MISFITS:
        sentence = f"do not fit the network {name}"
        yield pytest.param(lambda p, n=name, c=config: file_of(p, n, config=c), sentence, id=f"{name} {config}")
    other = {"fingerprint": "0123456789abcdef"}
    yield pytest.param(lambda p: file_of(p, "alexnet", config=other), "0123456789abcdef", id="another backbone")
    for what, (card, sentence) in REFUSED_CARDS.items():
        yield pytest.param(lambda p, c=card: file_of(p, "cnn", card=c), sentence, id=what)
    for what, (tensors, sentence) in REFUSED_TENSORS.items():
        yield pytest.param(lambda p, t=tensors: file_of(p, "cnn", **t), sentence, id=what)
    for cut in (0, 4, 8, 100, 2000, -1):
        yield pytest.param(lambda p, c=cut: file_of(p, "cnn")[:c], "damaged", id=f"cut off at {cut}")
    yield pytest.param(lambda p: pickle.dumps({"weight": [1] * 1000}), "damaged", id="a pickle")
    yield pytest.param(torch_file, "damaged", id="a file of torch.save")
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
def test_unusable_file_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, runs, write, sentence):
    content = write(tmp_path)
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        receive(content, runs)
    assert not any(runs.iterdir())
    message = str(refusal.value)
    assert message.endswith(".")
    assert len(message) < 300
    assert "\n" not in message
    assert str(tmp_path) not in message

    file = tmp_path / "upload.safetensors"
    file.write_bytes(content)
    if "answers that are not" in message:
        return  # loading does not try
    with pytest.raises(CheckpointError) as again:
        atelier.load(str(file), "cpu")
    assert str(again.value) == message


def test_too_large_upload_is_not_read_to_its_end(runs):
    endless = io.BytesIO(bytes(uploads.LARGEST_UPLOAD + 1000))
    with pytest.raises(CheckpointError, match="larger than 64 MB"):
        receive(endless, runs)
    assert endless.tell() == uploads.LARGEST_UPLOAD + 1
    with pytest.raises(CheckpointError, match="larger than 64 MB"):
        receive(bytes(uploads.LARGEST_UPLOAD + 1), runs)
    assert not runs.exists()


def test_upload_starts_no_download(runs, tmp_path, monkeypatch):
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
def test_full_disk_is_reported_and_leaves_nothing(runs, tmp_path, monkeypatch, error):
    def save_half(path, tensors, card):
        path.write_bytes(b"half")
        raise error

    content = file_of(tmp_path, "cnn")
    monkeypatch.setattr(checkpoint, "save", save_half)
    with pytest.raises(CheckpointError, match="No space left on device"):
        receive(content, runs)
    assert not any(runs.iterdir())


def test_unfinished_upload_is_not_visible(runs, tmp_path, monkeypatch):
    visible = []
    monkeypatch.setattr(Run, "set_status", spied(Run.set_status, lambda: visible.extend(runs.glob("*/config.json"))))
    receive(file_of(tmp_path, "cnn"), runs)
    assert visible == []
    assert len(list(runs.glob("*/config.json"))) == 1


def spied(function, look):
    def spy(*arguments):
        look()
        return function(*arguments)

    return spy
