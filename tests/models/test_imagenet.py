"""Downloads are real: a server on 127.0.0.1 stands in for torchvision's."""

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
from atelier.checkpoint import weights
from atelier.training.setup import new_config
from tests.support.torchvision_server import (
    altered,
    cut,
    gibberish,
    missing,
    name_of,
    random_features,
    silent,
    whole,
    write,
)

# Filters × (channels × height × width) + biases, by hand from the papers' tables.
ALEXNET = 64 * 3 * 121 + 192 * 64 * 25 + 384 * 192 * 9 + 256 * 384 * 9 + 256 * 256 * 9 + 64 + 192 + 384 + 256 + 256
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = sum(9 * before * after + after for before, after in itertools.pairwise(WIDTHS))


def left_in(cache) -> list[str]:
    return sorted(file.name for file in cache.iterdir()) if cache.exists() else []


KEPT = ["atelier-alexnet-imagenet.safetensors"]


# Downloaded ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "name"), [("vgg16", "vgg16-397923af.pth"), ("alexnet", "alexnet-owt-7be5be79.pth")]
)
def test_the_files_are_torchvisions(architecture, name):
    assert backbones._url(architecture) == f"https://download.pytorch.org/models/{name}"


def test_download_keeps_the_convolutions_in_half_precision_and_shows_progress(server, cache, convolutions, capsys):
    tensors = backbones.load("alexnet", "imagenet")
    assert tensors.keys() == convolutions.keys()
    assert all(torch.equal(tensors[name], convolutions[name].half()) for name in convolutions)
    assert {(tensor.dtype, tensor.device.type) for tensor in tensors.values()} == {(torch.float16, "cpu")}
    assert sum(tensor.numel() for tensor in tensors.values()) == ALEXNET
    assert "100%" in capsys.readouterr().err
    assert left_in(cache) == KEPT
    assert (cache / KEPT[0]).stat().st_size < 2 * ALEXNET + 4096
    assert checkpoint.read_card(cache / KEPT[0])["sha256"] == hashlib.sha256(server.content).hexdigest()


def test_the_second_load_needs_no_network(server, convolutions):
    first = backbones.load("alexnet", "imagenet")
    server.stop()
    second = backbones.load("alexnet", "imagenet")
    assert backbones.fingerprint(first) == backbones.fingerprint(second)
    assert server.requests == 1


def test_a_network_on_imagenet_weights_is_saved_and_loaded_like_any_other(server, convolutions, tmp_path):
    network = MODELS["alexnet"].build({"backbone": "imagenet"}).eval()
    assert torch.equal(network.features[0].weight, convolutions["0.weight"].half().float())
    file = tmp_path / "tuned.safetensors"
    checkpoint.save(file, weights(network), {"model": "alexnet", "config": dataclasses.asdict(network.config)})
    again = Classifier.load(file, "cpu").network
    assert again.config.fingerprint == backbones.fingerprint(backbones.load("alexnet", "imagenet"))
    digits = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(again(digits), network(digits))
    assert server.requests == 1


def test_two_threads_download_once(server):
    threads = [threading.Thread(target=backbones.load, args=("alexnet", "imagenet")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (cut, "incomplete"),
        (altered, "incomplete or not"),
        (missing, "Not Found"),
        (silent, "timed out"),
        (gibberish, "hello"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_failed_download_says_what_to_do_leaves_nothing_and_can_be_repeated(
    server, cache, monkeypatch, fault, reason
):
    monkeypatch.setattr(backbones, "PATIENCE", 0.3)
    server.answer = fault
    began = time.monotonic()
    with pytest.raises(BackboneError, match="could not be downloaded") as caught:
        backbones.load("alexnet", "imagenet")
    assert time.monotonic() - began < 9
    for part in (reason, "choose the glyphs backbone", name_of(server.content), str(cache)):
        assert part in str(caught.value)
    assert left_in(cache) == []
    server.answer = whole
    monkeypatch.setattr(backbones, "PATIENCE", 30)
    assert backbones.load("alexnet", "imagenet")


def test_no_server_is_an_error_with_a_way_out(server, cache):
    server.stop()
    with pytest.raises(BackboneError, match=r"refused.*: choose the glyphs backbone, which needs no network"):
        backbones.load("alexnet", "imagenet")
    assert left_in(cache) == []


def test_a_cache_that_cannot_be_made_is_an_error(server, cache, tmp_path):
    (tmp_path / "torch").write_text("a file where the folder should be")
    with pytest.raises(BackboneError, match="could not be downloaded"):
        backbones.load("alexnet", "imagenet")


@pytest.fixture
def no_room():
    """Files end at 1 MB, as on a full disk."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_downloading_is_an_error(server, cache, no_room):
    with pytest.raises(BackboneError, match="could not be downloaded"):
        backbones.load("alexnet", "imagenet")
    assert left_in(cache) == []


def test_a_full_disk_while_keeping_is_an_error(server, cache, tmp_path, original, request):
    (tmp_path / "stick.pth").write_bytes(original)
    request.getfixturevalue("no_room")
    with pytest.raises(BackboneError, match=r"could not be written to .* make room there"):
        backbones.import_imagenet("alexnet", tmp_path / "stick.pth")
    assert left_in(cache) == []


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_with_code_in_it_is_refused_and_does_not_run(server, cache, tmp_path, monkeypatch, old):
    victim = tmp_path / "victim"
    content = write(tmp_path / "file.pth", {"features.0.weight": Malicious(victim)}, old)
    server.offer(content, monkeypatch)  # its name carries its hash, so that only the unpickler stands in its way
    with pytest.raises(BackboneError, match="something else than weights"):
        backbones.load("alexnet", "imagenet")
    assert not victim.exists()
    assert left_in(cache) == []


@pytest.mark.parametrize("what", ["wrong shape", "missing tensor", "number for a tensor", "list"])
def test_a_download_that_is_not_the_network_is_refused(server, cache, convolutions, tmp_path, monkeypatch, what):
    content = {f"features.{name}": tensor for name, tensor in convolutions.items()}
    if what == "wrong shape":
        content["features.0.weight"] = torch.zeros(64, 3, 3, 3)
    elif what == "missing tensor":
        del content["features.0.weight"]
    elif what == "number for a tensor":
        content["features.0.weight"] = 1.0
    else:
        content = [1, 2, 3]
    server.offer(write(tmp_path / "file.pth", content), monkeypatch)
    with pytest.raises(BackboneError, match=r"does not hold the convolutions|something else than weights"):
        backbones.load("alexnet", "imagenet")
    assert left_in(cache) == []


def test_it_is_told_how_much_has_arrived(server, original, monkeypatch):
    monkeypatch.setattr(backbones, "PIECE", 1 << 21)
    size = len(original)
    told = list(backbones.fetch("alexnet"))
    assert told == [(min(number << 21, size), size) for number in range(1, size // (1 << 21) + 2)]
    assert list(backbones.fetch("alexnet")) == []  # kept


def test_a_download_that_is_ended_half_way_leaves_nothing(server, cache, monkeypatch):
    monkeypatch.setattr(backbones, "PIECE", 1 << 20)
    download = backbones.fetch("alexnet")
    next(download)
    assert len(left_in(cache)) == 1
    download.close()
    assert left_in(cache) == []


# Downloaded by a run -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(cache, tmp_path, monkeypatch):
    """An AlexNet on ImageNet weights that are not here yet, to be trained on few digits."""
    few = {split: tuple(part[:100] for part in mnist.load(split)) for split in ("train", "val", "test")}
    monkeypatch.setattr(mnist, "load", few.get)
    monkeypatch.setattr(backbones, "PIECE", 1 << 20)
    recipe = Recipe(epochs=1, batch_size=50, train_size=100, validation_size=100, variations=1)
    return Run.create(tmp_path / "runs", new_config("alexnet", recipe, "cpu", {"backbone": "imagenet"}))


def trained(run):
    return supervise(run, "cpu", lambda: train(run.read("config.json"), run))


def test_a_run_downloads_what_it_builds_on_and_says_how_far_it_is(server, run, original):
    assert server.requests == 0  # a page does not wait for it
    downloads = (event for event in trained(run) if isinstance(event, Preparation) and event.unit == "MB")
    told = [(*run.status(), overview.prepared(run)) for _ in downloads]
    size, shares = round(len(original) / 2**20), [share for *_, share in told if share is not None]
    assert told[0] == ("running", f"Downloads the ImageNet weights: 1 of {size} MB.", pytest.approx(1 / size))
    assert told[-1] == ("running", "", None)
    assert len(shares) >= size - 1
    assert shares == sorted(shares)
    assert run.status() == ("done", "")
    assert server.requests == 1
    network = run.read("config.json")["network"]
    assert (network["backbone"], len(network["fingerprint"])) == ("imagenet", 16)
    assert Classifier.load(run.folder, "cpu").network.config.fingerprint == network["fingerprint"]


def test_a_run_can_be_paused_while_it_downloads(server, run, cache):
    events = trained(run)
    next(events)
    run.request("pause")
    with pytest.raises(StopRequested):
        list(events)
    assert run.status()[0] == "paused"
    assert overview.prepared(run) is None
    assert left_in(cache) == []


def test_a_run_whose_download_fails_says_what_to_do(server, run, cache):
    server.answer = cut
    with pytest.raises(BackboneError):
        list(trained(run))
    state, reason = run.status()
    assert state == "failed"
    assert "incomplete" in reason
    assert "choose the glyphs backbone" in reason
    assert left_in(cache) == []


# From a file --------------------------------------------------------------------------------------------------------


def test_torchvisions_file_in_the_cache_is_used_and_left_there(server, cache, original, convolutions):
    cache.mkdir(parents=True)
    (cache / name_of(original)).write_bytes(original)
    tensors = backbones.load("alexnet", "imagenet")
    assert torch.equal(tensors["0.bias"], convolutions["0.bias"].half())
    assert server.requests == 0
    assert left_in(cache) == [*KEPT, name_of(original)]


@pytest.mark.parametrize("poison", [lambda content: content[:-100], lambda content: content[:-1] + b"!"])
def test_a_poisoned_file_in_the_cache_is_refused(server, cache, original, poison):
    cache.mkdir(parents=True)
    (cache / name_of(original)).write_bytes(poison(original))
    with pytest.raises(BackboneError, match=f"{name_of(original)}.* cut off or changed.* delete this copy"):
        backbones.load("alexnet", "imagenet")
    assert left_in(cache) == [name_of(original)]


def test_a_file_from_a_stick_replaces_the_download(server, cache, original, convolutions, tmp_path):
    (tmp_path / "stick.pth").write_bytes(original)
    backbones.import_imagenet("alexnet", tmp_path / "stick.pth")
    assert torch.equal(backbones.load("alexnet", "imagenet")["10.weight"], convolutions["10.weight"].half())
    assert server.requests == 0
    assert left_in(cache) == KEPT
    assert (tmp_path / "stick.pth").read_bytes() == original


def test_a_missing_file_from_a_stick_is_an_error(server, tmp_path):
    with pytest.raises(BackboneError, match=r"stick.pth cannot be read \(No such file"):
        backbones.import_imagenet("alexnet", tmp_path / "stick.pth")


def test_a_damaged_kept_file_is_refused(server, cache):
    backbones.load("alexnet", "imagenet")
    kept = cache / KEPT[0]
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(BackboneError, match=r"cut off.*: delete it and load it again"):
        backbones.load("alexnet", "imagenet")


def test_vgg16_comes_the_same_way(server, cache, tmp_path, monkeypatch):
    features = {f"features.{name}": tensor for name, tensor in random_features("vgg16").items()}
    server.offer(write(tmp_path / "file.pth", features, old=True), monkeypatch)
    tensors = backbones.load("vgg16", "imagenet")
    assert sum(tensor.numel() for tensor in tensors.values()) == VGG16
    with torch.device("meta"):
        models.vgg16(weights=None).features.load_state_dict(tensors, assign=True)
    assert left_in(cache) == ["atelier-vgg16-imagenet.safetensors"]
