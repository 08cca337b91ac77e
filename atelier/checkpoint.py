"""Checkpoints: trained weights as safetensors, with a model card in the header.

Safetensors (https://github.com/huggingface/safetensors) contains tensors and text but no code, so a foreign file can be
wrong but not dangerous. The card describes the weights: network, recipe, data, results, versions. Reading a card needs
no PyTorch, so that pages can show it before PyTorch is loaded.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier import files

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = "deep-learning-atelier"
VERSION = 1  # of the card's layout
LARGEST_FILE = 1 << 30  # bytes: larger files are refused
TRAINING_STATE = "training."  # prefix of tensors that only a resumed training needs


class CheckpointError(ValueError):
    """A file without usable weights of this project; the message gives the reason and what to do."""


class MismatchError(RuntimeError):
    """Weights of another network."""


# Files ---------------------------------------------------------------------------------------------------------------


def save(path: Path, tensors: dict[str, "Tensor"], card: dict[str, Any]) -> None:
    """Write tensors and card; readers find either the old or the new file.

    Raises:
        OSError: if the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, **card})
    try:
        with files.replacing(path) as unfinished:
            save_file(tensors, unfinished, metadata={"card": text})
    except SafetensorError as error:  # its text contains the number of the system's error
        number = re.search(r"(?:os error|code:) (\d+)", str(error))  # in newer and older versions of safetensors
        raise OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error)) from None


def read_card(path: Path) -> dict[str, Any]:
    """The model card of a checkpoint.

    Raises:
        CheckpointError: if the file is missing, truncated, foreign, too large, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    name = Path(path).name
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            raise CheckpointError(
                f"{name} is larger than {LARGEST_FILE >> 30} GiB. It is not a checkpoint of this project."
            )
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {name} here.") from None
    except (OSError, SafetensorError):
        raise CheckpointError(f"{name} is damaged, or not a safetensors file. Copy it again.") from None
    except (json.JSONDecodeError, RecursionError):
        card = None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{name} has no model card: it was not written by this project.")
    if not isinstance(card.get("version"), int):
        raise CheckpointError(f"{name} has a damaged model card. Copy it again.")
    if card["version"] > VERSION:
        raise CheckpointError(f"{name} was written by a newer version of this project. Update to use it.")
    return card


def load(path: Path, device: str = "cpu") -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """The tensors and the card of a checkpoint.

    Raises:
        CheckpointError: as `read_card`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_card(path)
    try:
        return load_file(path, device=device), card
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{Path(path).name} is damaged, or not a safetensors file. Copy it again.") from error


# Networks ------------------------------------------------------------------------------------------------------------


def weights(network: "nn.Module") -> dict[str, "Tensor"]:
    """The tensors in a checkpoint of this network: all except those in its backbone's file."""
    borrowed = network.borrowed() if hasattr(network, "borrowed") else set()
    return {name: tensor for name, tensor in network.state_dict().items() if name not in borrowed}


def load_weights(network: "nn.Module", tensors: dict[str, "Tensor"]) -> None:
    """Copy a checkpoint's tensors into a network; the training state is ignored.

    Raises:
        MismatchError: if names or shapes differ.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_STATE)}
    if _shapes(tensors) != _shapes(weights(network)):
        raise MismatchError("These weights belong to another network.")
    network.load_state_dict(tensors, strict=False)


def halve(tensors: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Convert to half precision, which halves the file and keeps the answers."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def content_hash(tensors: Iterable["Tensor"]) -> str:
    """SHA-256, in hexadecimal, of the content of tensors in this order."""
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def _shapes(tensors: dict[str, "Tensor"]) -> dict[str, "torch.Size"]:
    return {name: tensor.shape for name, tensor in tensors.items()}
