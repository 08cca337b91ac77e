"""ImageNet weights: real downloads from a server on 127.0.0.1 that replaces torchvision's."""

import dataclasses
import hashlib
import itertools
import threading
import time
from pathlib import Path

import pytest
import torch
from torchvision import models

from atelier import MODELS, checkpoint
from atelier.checkpoint import weights
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.models import backbones
from atelier.models.backbones import BackboneError
from atelier.recipe import Recipe
from atelier.runs import overview
from atelier.runs.folder import Run
from atelier.runs.recorder import train
from atelier.runs.worker import StopRequested, supervise
from atelier.training.events import Preparation
from atelier.training.setup import new_config
from tests.support import torchvision_server as tv

# Filters × (channels × height × width) + biases, by hand from the papers' tables.
ALEXNET = 64 * 3 * 121 + 192 * 64 * 25 + 384 * 192 * 9 + 256 * 384 * 9 + 256 * 256 * 9 + 64 + 192 + 384 + 256 + 256
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = sum(9 * before * after + after for before, after in itertools.pairwise(WIDTHS))
KEPT = ["atelier-alexnet-imagenet.safetensors"]


def files_in(cache) -> list[str]:
    return sorted(file.name for file in cache.iterdir()) if cache.exists() else []


# Downloaded ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "name"), [("vgg16", "vgg16-397923af.pth"), ("alexnet", "alexnet-owt-7be5be79.pth")]
)
def test_addresses_are_torchvisions(architecture, name):
    assert backbones._url(architecture) == f"https://download.pytorch.org/models/{name}"


def test_download_keeps_only_the_convolutions_in_half_precision(server, cache, convolutions, capsys):
    tensors = backbones.load("alexnet", "imagenet")
    assert tensors.keys() == convolutions.keys()
    assert all(torch.equal(tensors[name], convolutions[name].half()) for name in convolutions)
    assert sum(tensor.numel() for tensor in tensors.values()) == ALEXNET
    assert "100%" in capsys.readouterr().err
    assert files_in(cache) == KEPT
    assert (cache / KEPT[0]).stat().st_size < 2 * ALEXNET + 4096
    assert checkpoint.read_card(cache / KEPT[0])["sha256"] == hashlib.sha256(server.content).hexdigest()
    server.stop()
    again = backbones.load("alexnet", "imagenet")  # without the server
    assert backbones.fingerprint(again) == backbones.fingerprint(tensors)
    assert server.requests == 1


def test_vgg16_in_torchvisions_old_file_format(server, cache, tmp_path, monkeypatch):
    features = {f"features.{name}": tensor for name, tensor in tv.random_features("vgg16").items()}
    server.offer(tv.write(tmp_path / "file.pth", features, old=True), monkeypatch)
    tensors = backbones.load("vgg16", "imagenet")
    assert sum(tensor.numel() for tensor in tensors.values()) == VGG16
    with torch.device("meta"):
        models.vgg16(weights=None).features.load_state_dict(tensors, assign=True)
    assert files_in(cache) == ["atelier-vgg16-imagenet.safetensors"]


def test_network_on_imagenet_weights_is_saved_and_loaded(server, convolutions, tmp_path):
    network = MODELS["alexnet"].build({"backbone": "imagenet"}).eval()
    assert torch.equal(network.features[0].weight, convolutions["0.weight"].half().float())
    file = tmp_path / "tuned.safetensors"
    checkpoint.save(file, weights(network), {"model": "alexnet", "config": dataclasses.asdict(network.config)})
    loaded = Classifier.load(file, "cpu").network
    assert loaded.config.fingerprint == backbones.fingerprint(backbones.load("alexnet", "imagenet"))
    digits = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(digits), network(digits))
    assert server.requests == 1


def test_two_threads_download_once(server):
    threads = [threading.Thread(target=backbones.load, args=("alexnet", "imagenet")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == 1


@pytest.mark.parametrize("fault", [tv.cut, tv.altered, tv.missing, tv.silent, tv.gibberish], ids=lambda f: f.__name__)
def test_failed_download_leaves_nothing_and_can_be_repeated(server, cache, monkeypatch, fault):
    monkeypatch.setattr(backbones, "PATIENCE", 0.3)
    server.answer = fault
    started = time.monotonic()
    with pytest.raises(BackboneError, match="glyphs") as caught:
        backbones.load("alexnet", "imagenet")
    assert time.monotonic() - started < 9
    assert tv.name_of(server.content) in str(caught.value)  # the user may copy this file
    assert str(cache) in str(caught.value)  # to this folder
    assert files_in(cache) == []
    server.answer = tv.whole
    monkeypatch.setattr(backbones, "PATIENCE", 30)
    assert backbones.load("alexnet", "imagenet")


def test_missing_server_is_an_error(server, cache):
    server.stop()
    with pytest.raises(BackboneError, match="glyphs"):
        backbones.load("alexnet", "imagenet")
    assert files_in(cache) == []


def test_cache_that_cannot_be_made_is_an_error(server, cache, tmp_path):
    (tmp_path / "torch").write_text("a file instead of the folder")
    with pytest.raises(BackboneError, match="downloaded"):
        backbones.load("alexnet", "imagenet")


@pytest.mark.parametrize("load", [backbones.load, backbones.import_imagenet], ids=lambda function: function.__name__)
def test_full_disk_is_an_error(server, cache, tmp_path, original, load):
    resource = pytest.importorskip("resource")  # not on Windows
    (tmp_path / "copy.pth").write_bytes(original)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # files end at 1 MiB, as on a full disk
    try:
        with pytest.raises(BackboneError):
            load("alexnet", "imagenet" if load is backbones.load else tmp_path / "copy.pth")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(cache) == []


class Malicious:
    """An object whose unpickling makes a file."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_pickle_does_not_run(server, cache, tmp_path, monkeypatch, old):
    victim = tmp_path / "victim"
    content = tv.write(tmp_path / "file.pth", {"features.0.weight": Malicious(victim)}, old)
    server.offer(content, monkeypatch)  # under the name that its hash gives it
    with pytest.raises(BackboneError, match="harmful"):
        backbones.load("alexnet", "imagenet")
    assert not victim.exists()
    assert files_in(cache) == []


WRONG = {
    "wrong shape": lambda content: content | {"features.0.weight": torch.zeros(64, 3, 3, 3)},
    "missing tensor": lambda content: {name: t for name, t in content.items() if name != "features.0.weight"},
    "number instead of a tensor": lambda content: content | {"features.0.weight": 1.0},
    "list": lambda content: [1, 2, 3],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_download_of_another_network_is_refused(server, cache, convolutions, tmp_path, monkeypatch, wrong):
    content = WRONG[wrong]({f"features.{name}": tensor for name, tensor in convolutions.items()})
    server.offer(tv.write(tmp_path / "file.pth", content), monkeypatch)
    with pytest.raises(BackboneError):
        backbones.load("alexnet", "imagenet")
    assert files_in(cache) == []


def test_progress_counts_bytes(server, original, monkeypatch):
    monkeypatch.setattr(backbones, "PIECE", 1 << 21)
    size = len(original)
    progress = list(backbones.fetch("alexnet"))
    assert progress == [(min(number << 21, size), size) for number in range(1, size // (1 << 21) + 2)]
    assert list(backbones.fetch("alexnet")) == []  # already kept


def test_closed_download_leaves_nothing(server, cache):
    download = backbones.fetch("alexnet")
    next(download)
    assert len(files_in(cache)) == 1
    download.close()
    assert files_in(cache) == []


# Downloaded by a run -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(cache, tmp_path, monkeypatch):
    """A run of an AlexNet on ImageNet weights that are not on this machine, with few digits."""
    few = {split: tuple(part[:100] for part in mnist.load(split)) for split in ("train", "val", "test")}
    monkeypatch.setattr(mnist, "load", few.get)
    recipe = Recipe(epochs=1, batch_size=50, train_size=100, validation_size=100, variations=1)
    return Run.create(tmp_path / "runs", new_config("alexnet", recipe, "cpu", {"backbone": "imagenet"}))


def events_of(run):
    return supervise(run, "cpu", lambda: train(run.read("config.json"), run))


def test_run_downloads_its_backbone_and_reports_progress(server, run, original):
    assert server.requests == 0  # a new run starts without waiting
    downloads = (event for event in events_of(run) if isinstance(event, Preparation) and event.unit == "MB")
    reports = [(run.status()[0], overview.prepared(run)) for _ in downloads]
    size, shares = round(len(original) / 2**20), [share for _, share in reports if share is not None]
    assert reports[0] == ("running", pytest.approx(1 / size))
    assert reports[-1] == ("running", None)
    assert len(shares) >= size - 1
    assert shares == sorted(shares)
    assert run.status() == ("done", "")
    assert server.requests == 1
    network = run.read("config.json")["network"]
    assert (network["backbone"], len(network["fingerprint"])) == ("imagenet", 16)
    assert Classifier.load(run.folder, "cpu").network.config.fingerprint == network["fingerprint"]


def test_run_can_be_paused_during_the_download(server, run, cache):
    events = events_of(run)
    next(events)
    run.request("pause")
    with pytest.raises(StopRequested):
        list(events)
    assert run.status()[0] == "paused"
    assert overview.prepared(run) is None
    assert files_in(cache) == []


def test_run_with_a_failed_download_keeps_the_reason(server, run, cache):
    server.answer = tv.cut
    with pytest.raises(BackboneError) as caught:
        list(events_of(run))
    assert run.status() == ("failed", str(caught.value))
    assert files_in(cache) == []


# From a file ---------------------------------------------------------------------------------------------------------


def test_torchvisions_file_in_the_cache_is_used_and_stays(server, cache, original, convolutions):
    cache.mkdir(parents=True)
    (cache / tv.name_of(original)).write_bytes(original)
    tensors = backbones.load("alexnet", "imagenet")
    assert torch.equal(tensors["0.bias"], convolutions["0.bias"].half())
    assert server.requests == 0
    assert files_in(cache) == [*KEPT, tv.name_of(original)]


def test_file_of_a_user_replaces_the_download(server, cache, original, convolutions, tmp_path):
    (tmp_path / "copy.pth").write_bytes(original)
    backbones.import_imagenet("alexnet", tmp_path / "copy.pth")
    assert torch.equal(backbones.load("alexnet", "imagenet")["10.weight"], convolutions["10.weight"].half())
    assert server.requests == 0
    assert files_in(cache) == KEPT
    assert (tmp_path / "copy.pth").read_bytes() == original
    with pytest.raises(BackboneError, match="nowhere"):
        backbones.import_imagenet("alexnet", tmp_path / "nowhere.pth")


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: content[:-1] + b"!"])
def test_damaged_file_in_the_cache_is_refused_and_stays(server, cache, original, damage):
    cache.mkdir(parents=True)
    (cache / tv.name_of(original)).write_bytes(damage(original))
    with pytest.raises(BackboneError, match=tv.name_of(original)):
        backbones.load("alexnet", "imagenet")
    assert files_in(cache) == [tv.name_of(original)]


def test_damaged_kept_file_is_refused(server, cache):
    backbones.load("alexnet", "imagenet")
    kept = cache / KEPT[0]
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(BackboneError, match="Delete it"):
        backbones.load("alexnet", "imagenet")
