"""The shipped glyph backbones, and the fingerprints in checkpoints."""

import hashlib

import pytest
import torch

from atelier import checkpoint
from atelier.models import backbones
from atelier.models.backbones import BackboneError

CARD = {"model": "alexnet", "kind": "backbone", "source": "glyphs"}


@pytest.mark.parametrize(
    ("changed", "card"),
    [
        ({}, CARD),
        ({"0.weight": torch.zeros(64, 3, 3, 3, dtype=torch.float16)}, CARD),
        ({"0.weight": torch.zeros(64, 3, 11, 11)}, CARD),
        ({"99.weight": torch.zeros(1, dtype=torch.float16)}, CARD),
        ({}, CARD | {"source": "imagenet"}),
        ({}, CARD | {"model": "vgg16"}),
        ({}, {"model": "alexnet"}),
    ],
    ids=["missing", "shape", "precision", "extra tensor", "other source", "other network", "trained network"],
)
def test_wrong_or_missing_glyph_file_is_refused(tmp_path, monkeypatch, convolutions, changed, card):
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path)
    shipped = {name: tensor.half() for name, tensor in convolutions.items()}
    if changed or card != CARD:
        checkpoint.save(tmp_path / "alexnet.safetensors", shipped | changed, card)
    with pytest.raises(BackboneError, match="from the repository"):
        backbones.load("alexnet", "glyphs")
    checkpoint.save(tmp_path / "alexnet.safetensors", shipped, CARD)
    tensors = backbones.load("alexnet", "glyphs")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in shipped.items())


@pytest.mark.parametrize(("architecture", "source"), [("resnet", "glyphs"), ("vgg16", "none"), ("vgg16", "web")])
def test_unknown_architecture_or_source_is_refused(architecture, source):
    with pytest.raises(BackboneError, match="Choose"):
        backbones.load(architecture, source)


def test_fingerprint_is_a_hash_of_the_content():
    content = b"a torch.float16 [1, 2]\n" + bytes.fromhex("003c00c0") + b"b torch.float16 [0]\n"  # 1 and −2
    tensors = {"b": torch.zeros(0).half(), "a": torch.tensor([[1.0, -2.0]]).half()}
    assert backbones.fingerprint(tensors) == hashlib.sha256(content).hexdigest()[:16]


def test_fingerprint_depends_on_content_but_not_on_order_or_memory(convolutions):
    tensors = {name: tensor.half() for name, tensor in convolutions.items()}
    one_value = tensors["6.weight"].clone()
    one_value[3, 1, 2, 0] += 1
    changes = (
        {},
        {"6.weight": one_value},
        {"0.bias": tensors["0.bias"].reshape(8, 8)},
        {"0.bias": tensors["0.bias"].view(torch.bfloat16)},
        {"new": torch.zeros(1)},
    )
    assert len({backbones.fingerprint(tensors | change) for change in changes}) == 5
    assert backbones.fingerprint(dict(reversed(tensors.items()))) == backbones.fingerprint(tensors)
    for tensor in (torch.arange(6.0).reshape(2, 3).T, torch.arange(6.0)[::2]):
        assert backbones.fingerprint({"a": tensor}) == backbones.fingerprint({"a": tensor.clone().contiguous()})
