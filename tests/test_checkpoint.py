"""Checkpoints: restored weights and cards, and files that are refused."""

import json
import pickle
import struct

import pytest
import torch

from atelier import checkpoint
from atelier.checkpoint import CheckpointError, MismatchError

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.bfloat16)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, TENSORS, {"model": "cnn", "accuracy": 0.5})
    return path


def test_tensors_and_card_are_restored(file):
    tensors, card = checkpoint.load(file)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert (card["model"], card["accuracy"]) == ("cnn", 0.5)
    assert list(file.parent.iterdir()) == [file]


def test_truncated_checkpoint_is_refused(file):
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="weights"):
            checkpoint.load(file)


def safetensors(header: object, body: bytes = b"") -> bytes:
    """A file with this header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def with_card(version: object, body: bytes = b"") -> bytes:
    card = json.dumps({"format": checkpoint.FORMAT, "version": version})
    return safetensors({"__metadata__": {"card": card}}, body)


FOREIGN = {
    "pickle": (pickle.dumps({"weight": [1, 2, 3]}), "safetensors"),
    "text": (b"hello, I am a checkpoint, honestly", "safetensors"),
    "header is a list": (safetensors([]), "safetensors"),
    "header of 100,000 brackets": (struct.pack("<Q", 100_000) + b"[" * 100_000, "safetensors"),
    "offsets are texts": (safetensors({"weight": {"data_offsets": ["0", "4"]}}), "safetensors"),
    "one offset": (safetensors({"weight": {"data_offsets": [0]}}), "safetensors"),
    "bytes at the end": (with_card(1, b"more"), "safetensors"),
    "other program": (safetensors({"__metadata__": {"format": "pt"}}), "no model card"),
    "no metadata": (safetensors({}), "no model card"),
    "card is a list": (safetensors({"__metadata__": {"card": "[]"}}), "no model card"),
    "card of 100,000 brackets": (safetensors({"__metadata__": {"card": "[" * 100_000}}), "no model card"),
    "newer version": (with_card(99), "newer version"),
    "version is a text": (with_card("2"), "damaged model card"),
}


@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_file_is_refused_with_the_reason(content, file):
    data, reason = FOREIGN[content]
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.load(file)


def test_missing_and_large_files_are_refused(file, monkeypatch):
    with pytest.raises(CheckpointError, match="missing"):
        checkpoint.read_card(file.with_name("missing.safetensors"))
    monkeypatch.setattr(checkpoint, "LARGEST_FILE", 10)
    with pytest.raises(CheckpointError, match="larger than"):
        checkpoint.load(file)


def test_failed_save_keeps_the_old_file(file):
    before = file.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(file, TENSORS, {"card": object()})
    assert file.read_bytes() == before


def test_weights_are_loaded_without_training_state_and_only_into_their_network():
    source, network = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    tensors = checkpoint.weights(source)
    checkpoint.load_weights(network, tensors | {f"{checkpoint.TRAINING_STATE}random": torch.zeros(1)})
    assert torch.equal(network.weight, source.weight)
    for wrong in (
        {"weight": tensors["weight"]},
        tensors | {"bias": torch.zeros(4)},
        tensors | {"more": torch.zeros(1)},
    ):
        with pytest.raises(MismatchError):
            checkpoint.load_weights(network, wrong)
