"""Trained weights as safetensors, with a model card in the header.

Safetensors (https://github.com/huggingface/safetensors) holds tensors and text, nothing that could run: a file from a
stranger can be wrong, but not dangerous. The card says what the weights are: network, recipe, data, results, versions.
Reading a card needs no PyTorch, so that the pages can show it while PyTorch still loads.
"""

import json
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "deep-learning-atelier"
VERSION = 1  # of the card's layout
LARGEST_FILE = 1 << 30  # bytes: larger files are refused
LARGEST_HEADER = 1 << 20  # bytes


class CheckpointError(ValueError):
    """A file that does not hold usable weights of this project; the message says why, in one sentence."""


def save(path: Path, tensors: dict[str, "Tensor"], card: dict[str, Any]) -> None:
    """Write tensors and card. A reader sees the old file or the new one, never half of one.

    Raises:
        OSError: if the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, **card})
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, unfinished, metadata={"card": text})
        os.replace(unfinished, path)
    except SafetensorError as error:  # hides the system's error in its text
        number = re.search(r"(?:os error|code:) (\d+)", str(error))  # as newer versions of safetensors write, and older
        raise OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def read_card(path: Path) -> dict[str, Any]:
    """The model card of a checkpoint.

    Raises:
        CheckpointError: if the file is missing, truncated, foreign, too large, or of a newer version.
    """
    name = Path(path).name
    try:
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise CheckpointError(f"{name} is larger than {LARGEST_FILE >> 30} GiB: no checkpoint of this project is.")
        with open(path, "rb") as file:
            (header_size,) = struct.unpack("<Q", file.read(8))
            if header_size > min(size, LARGEST_HEADER):
                raise CheckpointError(f"{name} is not a safetensors file, or it is damaged.")
            header = json.loads(file.read(header_size))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        expected_size = 8 + header_size + max(ends, default=0)
        card = json.loads(header["__metadata__"]["card"])
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {name} here.") from None
    except KeyError:
        raise CheckpointError(f"{name} was not written by this project: it has no model card.") from None
    except (OSError, struct.error, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{name} is not a safetensors file, or it is damaged.") from None
    if expected_size != size:
        raise CheckpointError(f"{name} is cut off: copy it again.")
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{name} was not written by this project: it has no model card.")
    if not isinstance(card.get("version"), int):
        raise CheckpointError(f"{name} has a damaged model card: copy it again.")
    if card["version"] > VERSION:
        raise CheckpointError(f"{name} was written by a newer version of this project: update to use it.")
    return card


def load(path: Path, device: str = "cpu") -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """The tensors and the card of a checkpoint.

    Raises:
        CheckpointError: as `read_card`.
    """
    from safetensors.torch import load_file

    card = read_card(path)
    try:
        return load_file(path, device=device), card
    except Exception as error:  # safetensors raises its own type, which it does not promise to keep
        raise CheckpointError(f"{Path(path).name} is not a safetensors file, or it is damaged.") from error
