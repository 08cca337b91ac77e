"""The shipped glyph backbones, and the fingerprints that checkpoints name them by."""

import hashlib

import pytest
import torch

from atelier import checkpoint
from atelier.models import backbones
from atelier.models.backbones import BackboneError

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
