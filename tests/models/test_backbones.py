"""Downloads are real: a server on 127.0.0.1 stands in for torchvision's, with files named after their own hash."""

import contextlib
import dataclasses
import hashlib
import http.server
import itertools
import socket
import threading
import time
from pathlib import Path

import pytest
import torch
from torchvision import models

from atelier import MODELS, checkpoint
from atelier.classifier import Classifier
from atelier.models import backbones
from atelier.models.backbones import BackboneError
from atelier.training.loop import weights

# Filters × (channels × height × width) + biases, by hand from the papers' tables.
ALEXNET = 64 * 3 * 121 + 192 * 64 * 25 + 384 * 192 * 9 + 256 * 384 * 9 + 256 * 256 * 9 + 64 + 192 + 384 + 256 + 256
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = sum(9 * before * after + after for before, after in itertools.pairwise(WIDTHS))


def whole(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def cut(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def altered(handler, content):
    whole(handler, content[:-1] + bytes([content[-1] ^ 1]))


def gibberish(handler, content):
    handler.wfile.write(b"hello, I speak no HTTP\r\n")


def silent(handler, content):
    cut(handler, content)
    handler.server.released.wait(10)


def missing(handler, content):
    handler.send_error(404)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, in the manner of `answer`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.content, self.requests = whole, b"", 0
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        with contextlib.suppress(ConnectionError):
            self.server.answer(self, self.server.content)

    def log_message(self, *arguments):
        pass


def name_of(content: bytes) -> str:
    return f"network-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def write(file: Path, content, old: bool = False) -> bytes:
    """A .pth; `old` is PyTorch's format of before 2020, in which torchvision's VGG16 was uploaded."""
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.read_bytes()


def random_features(architecture) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        empty = getattr(models, architecture)(weights=None).features.state_dict()
    return {name: torch.randn(tensor.shape) for name, tensor in empty.items()}


@pytest.fixture(scope="module")
def convolutions():
    return random_features("alexnet")


@pytest.fixture(scope="module")
def original(convolutions, tmp_path_factory) -> bytes:
    """What torchvision's file is like: convolutions as parameters, and a classifier that nobody here wants."""
    content = {f"features.{name}": torch.nn.Parameter(tensor) for name, tensor in convolutions.items()}
    return write(tmp_path_factory.mktemp("made") / "file.pth", content | {"classifier.6.bias": torch.zeros(1000)})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(cache, original, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    offer(server, original, monkeypatch)
    yield server
    server.stop()


def offer(server, content, monkeypatch):
    """Let the server hold this file and the project ask for it, under the name that its hash gives it."""
    server.content = content
    monkeypatch.setattr(backbones, "_url", lambda _: f"http://127.0.0.1:{server.server_port}/{name_of(content)}")


def left_in(cache) -> list[str]:
    return sorted(file.name for file in cache.iterdir()) if cache.exists() else []


KEPT = ["atelier-alexnet-imagenet.safetensors"]


# ImageNet, downloaded ------------------------------------------------------------------------------------------------


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
        assert torch.equal(again(digits), network(digits))
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
    assert time.monotonic() - began < 5
    for part in (reason, "choose the glyphs backbone", name_of(server.content), str(cache)):
        assert part in str(caught.value)
    assert left_in(cache) == []
    assert socket.getdefaulttimeout() is None
    server.answer = whole
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
    offer(server, content, monkeypatch)  # its name carries its hash, so that only the unpickler stands in its way
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
    offer(server, write(tmp_path / "file.pth", content), monkeypatch)
    with pytest.raises(BackboneError, match=r"does not hold the convolutions|something else than weights"):
        backbones.load("alexnet", "imagenet")
    assert left_in(cache) == []


# ImageNet, from a file -----------------------------------------------------------------------------------------------


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
    offer(server, write(tmp_path / "file.pth", features, old=True), monkeypatch)
    tensors = backbones.load("vgg16", "imagenet")
    assert sum(tensor.numel() for tensor in tensors.values()) == VGG16
    with torch.device("meta"):
        models.vgg16(weights=None).features.load_state_dict(tensors, assign=True)
    assert left_in(cache) == ["atelier-vgg16-imagenet.safetensors"]


# Glyphs --------------------------------------------------------------------------------------------------------------

CARD = {"model": "alexnet", "kind": "backbone", "source": "glyphs"}


@pytest.fixture
def shipped(tmp_path, monkeypatch, convolutions):
    """Write the shipped file, with other tensors or another card."""
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path)

    def ship(changed=None, card=CARD):
        tensors = {name: tensor.half() for name, tensor in convolutions.items()} | (changed or {})
        checkpoint.save(tmp_path / "alexnet.safetensors", tensors, card)

    return ship


def test_glyphs_come_from_the_repository(shipped, convolutions):
    shipped()
    tensors = backbones.load("alexnet", "glyphs")
    assert all(torch.equal(tensors[name], convolutions[name].half()) for name in convolutions)


def test_missing_glyphs_are_an_error(shipped):
    with pytest.raises(BackboneError, match=r"no checkpoint alexnet.* copy it again from the repository"):
        backbones.load("alexnet", "glyphs")


@pytest.mark.parametrize(
    "wrong",
    [
        {"changed": {"0.weight": torch.zeros(64, 3, 3, 3, dtype=torch.float16)}},
        {"changed": {"0.weight": torch.zeros(64, 3, 11, 11)}},
        {"changed": {"99.weight": torch.zeros(1, dtype=torch.float16)}},
        {"card": CARD | {"source": "imagenet"}},
        {"card": CARD | {"model": "vgg16"}},
        {"card": {"model": "alexnet"}},
    ],
    ids=["shape", "precision", "extra tensor", "other source", "other network", "a trained network"],
)
def test_a_glyph_file_that_holds_something_else_is_refused(shipped, wrong):
    shipped(**wrong)
    with pytest.raises(BackboneError, match="does not hold the convolutions of alexnet from glyphs"):
        backbones.load("alexnet", "glyphs")


@pytest.mark.parametrize(("architecture", "source"), [("resnet", "glyphs"), ("vgg16", "none"), ("vgg16", "web")])
def test_what_is_not_offered_is_an_error(architecture, source):
    with pytest.raises(BackboneError, match="choose"):
        backbones.load(architecture, source)


# Fingerprints --------------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_the_hash_that_the_docstring_describes():
    content = b"a torch.float16 [1, 2]\n" + bytes.fromhex("003c00c0") + b"b torch.float16 [0]\n"  # 1 and −2
    tensors = {"b": torch.zeros(0).half(), "a": torch.tensor([[1.0, -2.0]]).half()}
    assert backbones.fingerprint(tensors) == hashlib.sha256(content).hexdigest()[:16]


def test_a_fingerprint_ignores_order_and_notices_every_change(convolutions):
    tensors = {name: tensor.half() for name, tensor in convolutions.items()}
    same = backbones.fingerprint(dict(reversed(tensors.items())))
    one_value = tensors["6.weight"].clone()
    one_value[3, 1, 2, 0] += 1
    changes = (
        {"6.weight": one_value},
        {"0.bias": tensors["0.bias"].reshape(8, 8)},
        {"0.bias": tensors["0.bias"].view(torch.bfloat16)},
        {"new": torch.zeros(1)},
    )
    prints = {backbones.fingerprint(tensors | change) for change in changes}
    assert same == backbones.fingerprint(tensors)
    assert len(prints | {same}) == 5


def test_a_fingerprint_sees_values_not_memory():
    for tensor in (torch.arange(6.0).reshape(2, 3).T, torch.arange(6.0)[::2]):
        assert backbones.fingerprint({"a": tensor}) == backbones.fingerprint({"a": tensor.clone().contiguous()})
