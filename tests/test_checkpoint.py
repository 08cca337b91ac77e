import json
import pickle
import struct

import pytest
import torch

from atelier import checkpoint
from atelier.checkpoint import CheckpointError

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.bfloat16)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, TENSORS, {"model": "cnn", "accuracy": 0.5})
    return path


def test_tensors_and_card_come_back(file):
    tensors, card = checkpoint.load(file)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert (card["model"], card["accuracy"]) == ("cnn", 0.5)
    assert list(file.parent.iterdir()) == [file]  # nothing half-written is left


def test_every_truncation_is_noticed(file):
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="weights"):
            checkpoint.load(file)


def rewritten(header: dict, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


FOREIGN = {
    "a pickle with another name": (pickle.dumps({"weight": [1, 2, 3]}), "not a safetensors file"),
    "random text": (b"hello, I am a checkpoint, honestly", "not a safetensors file"),
    "somebody else's safetensors": (rewritten({"__metadata__": {"format": "pt"}}), "no model card"),
    "no metadata": (rewritten({}), "no model card"),
    "a card that is a list": (rewritten({"__metadata__": {"card": "[]"}}), "no model card"),
    "a header that is a list": (rewritten([]), "not a safetensors file"),
    "a newer version": (
        rewritten({"__metadata__": {"card": json.dumps({"format": checkpoint.FORMAT, "version": 99})}}),
        "newer version",
    ),
    "a version that is none": (
        rewritten({"__metadata__": {"card": json.dumps({"format": checkpoint.FORMAT, "version": "2"})}}),
        "damaged model card",
    ),
    "offsets that are texts": (rewritten({"weight": {"data_offsets": ["0", "4"]}}), "not a safetensors file"),
    "one offset": (rewritten({"weight": {"data_offsets": [0]}}), "not a safetensors file"),
    "a header of 100,000 brackets": (struct.pack("<Q", 100_000) + b"[" * 100_000, "not a safetensors file"),
    "a card of 100,000 brackets": (rewritten({"__metadata__": {"card": "[" * 100_000}}), "not a safetensors file"),
    "bytes added": (
        rewritten({"__metadata__": {"card": json.dumps({"format": checkpoint.FORMAT, "version": 1})}}, b"more"),
        "cut off",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_files_are_refused_with_the_reason(what, file):
    content, sentence = FOREIGN[what]
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="none"):
        checkpoint.read_card(tmp_path / "none.safetensors")


def test_a_file_that_is_too_large_is_not_read(file, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_FILE", 10)
    with pytest.raises(CheckpointError, match="larger than"):
        checkpoint.load(file)


def test_a_failed_save_keeps_the_old_file(file):
    before = file.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(file, TENSORS, {"card": object()})
    assert file.read_bytes() == before
