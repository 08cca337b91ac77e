"""ImageNet weights: real downloads from a server on 127.0.0.1 that replaces torchvision's."""

import hashlib
import itertools
import threading
from pathlib import Path

import pytest
import torch
from torchvision import models

from atelier import checkpoint
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
from tests.support.torchvision_server import FAULTS, Server, name_of

# Filters × (channels × height × width) + biases, by hand from the papers' tables.
ALEXNET = 64 * 3 * 121 + 192 * 64 * 25 + 384 * 192 * 9 + 256 * 384 * 9 + 256 * 256 * 9 + 64 + 192 + 384 + 256 + 256
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = sum(9 * before * after + after for before, after in itertools.pairwise(WIDTHS))
KEPT = "atelier-alexnet-imagenet.safetensors"


def write(file: Path, content, old: bool = False) -> bytes:
    """A .pth; `old` is PyTorch's format of before 2020, in which torchvision's VGG16 was uploaded."""
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.read_bytes()


@pytest.fixture(scope="module")
def original(convolutions, tmp_path_factory) -> bytes:
    """A file like torchvision's: convolutions as parameters, and a classifier that is not kept."""
    content = {f"features.{name}": torch.nn.Parameter(tensor) for name, tensor in convolutions.items()}
    return write(tmp_path_factory.mktemp("made") / "file.pth", content | {"classifier.6.bias": torch.zeros(1000)})


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of PyTorch's hub; it does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(cache, original, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.offer(original, monkeypatch)
    yield server
    server.stop()


@pytest.fixture
def copy(tmp_path, original) -> Path:
    """A user's copy of torchvision's file."""
    file = tmp_path / "copy.pth"
    file.write_bytes(original)
    return file


def files_in(cache) -> list[str]:
    return sorted(file.name for file in cache.iterdir()) if cache.exists() else []


def test_addresses_are_torchvisions():
    names = [backbones._url(name).removeprefix("https://download.pytorch.org/models/") for name in ("vgg16", "alexnet")]
    assert names == ["vgg16-397923af.pth", "alexnet-owt-7be5be79.pth"]


def test_download_keeps_only_the_convolutions_in_half_precision(server, cache, convolutions, monkeypatch):
    monkeypatch.setattr(backbones, "PIECE", 1 << 21)
    size = len(server.content)
    progress = list(backbones.fetch("alexnet"))
    assert progress == [(min(number << 21, size), size) for number in range(1, size // (1 << 21) + 2)]
    server.stop()
    tensors = backbones.load("alexnet", "imagenet")  # without the server
    assert tensors.keys() == convolutions.keys()
    assert all(torch.equal(tensors[name], convolutions[name].half()) for name in convolutions)
    assert sum(tensor.numel() for tensor in tensors.values()) == ALEXNET
    assert files_in(cache) == [KEPT]
    assert checkpoint.read_card(cache / KEPT)["sha256"] == hashlib.sha256(server.content).hexdigest()
    (cache / KEPT).write_bytes((cache / KEPT).read_bytes()[:-1])
    with pytest.raises(BackboneError, match="Delete it"):
        backbones.load("alexnet", "imagenet")


def test_vgg16_in_torchvisions_old_file_format(server, tmp_path, monkeypatch):
    with torch.device("meta"):
        vgg16 = models.vgg16(weights=None).features
    content = {f"features.{name}": torch.zeros(tensor.shape) for name, tensor in vgg16.state_dict().items()}
    server.offer(write(tmp_path / "file.pth", content, old=True), monkeypatch)
    tensors = backbones.load("vgg16", "imagenet")
    assert sum(tensor.numel() for tensor in tensors.values()) == VGG16
    vgg16.load_state_dict(tensors, assign=True)


def test_two_threads_download_once(server):
    threads = [threading.Thread(target=backbones.load, args=("alexnet", "imagenet")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_download_leaves_nothing_and_can_be_repeated(server, cache, monkeypatch, fault):
    monkeypatch.setattr(backbones, "PATIENCE", 1)
    server.fault = fault
    with pytest.raises(BackboneError, match="timed out" if fault == "silent" else "glyphs") as caught:
        backbones.load("alexnet", "imagenet")
    assert name_of(server.content) in str(caught.value)  # the user may copy this file
    assert str(cache) in str(caught.value)  # to this folder
    assert files_in(cache) == []
    server.fault = ""
    assert backbones.load("alexnet", "imagenet")


@pytest.mark.parametrize("load", [backbones.load, backbones.import_imagenet], ids=lambda function: function.__name__)
def test_full_disk_is_an_error(server, cache, copy, load):
    resource = pytest.importorskip("resource")  # not on Windows
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # files end at 1 MiB, as on a full disk
    try:
        with pytest.raises(BackboneError):
            load("alexnet", "imagenet" if load is backbones.load else copy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(cache) == []


class Malicious:
    """An object whose unpickling makes a file."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


WRONG = {
    "code": lambda content, victim: content | {"features.0.weight": Malicious(victim)},
    "wrong shape": lambda content, victim: content | {"features.0.weight": torch.zeros(64, 3, 3, 3)},
    "number instead of a tensor": lambda content, victim: content | {"features.0.weight": 1.0},
    "list": lambda content, victim: [1, 2, 3],
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_harmful_or_wrong_download_is_refused(server, cache, convolutions, tmp_path, monkeypatch, wrong, old):
    victim, content = tmp_path / "victim", {f"features.{name}": tensor for name, tensor in convolutions.items()}
    server.offer(write(tmp_path / "file.pth", WRONG[wrong](content, victim), old), monkeypatch)
    with pytest.raises(BackboneError):
        backbones.load("alexnet", "imagenet")
    assert not victim.exists()
    assert files_in(cache) == []


# From a file ---------------------------------------------------------------------------------------------------------


def test_torchvisions_file_in_the_cache_is_used_and_stays(server, cache, original, convolutions):
    cache.mkdir(parents=True)
    file = cache / name_of(original)
    file.write_bytes(original[:-1] + b"!")
    with pytest.raises(BackboneError, match=file.name):
        backbones.load("alexnet", "imagenet")
    assert files_in(cache) == [file.name]
    file.write_bytes(original)
    assert torch.equal(backbones.load("alexnet", "imagenet")["0.bias"], convolutions["0.bias"].half())
    assert files_in(cache) == [KEPT, file.name]
    assert server.requests == 0


def test_file_of_a_user_replaces_the_download(server, cache, copy, convolutions):
    backbones.import_imagenet("alexnet", copy)
    assert torch.equal(backbones.load("alexnet", "imagenet")["10.weight"], convolutions["10.weight"].half())
    assert server.requests == 0
    assert files_in(cache) == [KEPT]
    assert copy.read_bytes() == server.content
    with pytest.raises(BackboneError, match="nowhere"):
        backbones.import_imagenet("alexnet", copy.with_name("nowhere.pth"))


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
    shares = [share for _ in downloads if (share := overview.prepared(run)) is not None]
    size = round(len(original) / 2**20)
    assert shares[0] == pytest.approx(1 / size)
    assert len(shares) >= size - 1
    assert shares == sorted(shares)
    assert overview.prepared(run) is None
    assert run.status() == ("done", "")
    network = run.read("config.json")["network"]
    assert (network["backbone"], len(network["fingerprint"])) == ("imagenet", 16)
    assert Classifier.load(run.folder, "cpu").network.config.fingerprint == network["fingerprint"]
    assert server.requests == 1


def test_run_can_be_paused_during_the_download(server, run, cache):
    events = events_of(run)
    next(events)
    run.request("pause")
    with pytest.raises(StopRequested):
        list(events)
    assert run.status()[0] == "paused"
    assert overview.prepared(run) is None
    assert files_in(cache) == []


def test_run_with_a_failed_download_keeps_the_reason(server, run):
    server.fault = "cut"
    with pytest.raises(BackboneError) as caught:
        list(events_of(run))
    assert run.status() == ("failed", str(caught.value))
