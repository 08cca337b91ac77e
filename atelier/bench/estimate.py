"""How long a training will take on this machine, from the speeds that `throughput.py` measured.

A page imports this: PyTorch is imported only for sizes that differ from the default.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from atelier import files
from atelier.data.mnist import SIDE, TEST_DIGITS
from atelier.recipe import Recipe
from atelier.zoo import MODELS, Family

SPEEDS = {"train_digits_per_second", "frozen_digits_per_second", "predict_digits_per_second"}
FORWARD = 1 / 3  # share of a training step: a layer needs one product forward and two backward


def throughput_file(device: str) -> Path:
    """The file of the measurements of "cpu", "cuda" or "mps"."""
    return user_cache_path("deep-learning-atelier") / f"throughput-{device}.json"


def save_throughput(throughput: dict[str, Any], device: str) -> Path:
    """Save measurements of "cpu", "cuda" or "mps" and return their file.

    Args:
        throughput: `startup_seconds` of a new process until PyTorch and the data are ready, and in `networks` the
            results of `measure_throughput` by network.
        device: their device.
    """
    file = throughput_file(device)
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(file, throughput)
    return file


def load_throughput(device: str) -> dict[str, Any] | None:
    """The saved measurements of "cpu", "cuda" or "mps"; None if they are missing or damaged."""
    try:
        throughput = json.loads(throughput_file(device).read_text())
        complete = all(speeds.keys() == SPEEDS for speeds in throughput["networks"].values())
        return throughput if complete and throughput["startup_seconds"] > 0 else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def estimate(model: str, network: dict[str, Any], recipe: Recipe, throughput: dict[str, Any]) -> float:
    """Seconds from the start of a training's process to its result.

    Args:
        model: a name in MODELS.
        network: sizes that differ from the default; the time grows with the number of operations.
        recipe: of the training.
        throughput: from `load_throughput`.

    Raises:
        ValueError: for sizes that cannot work.
        KeyError: if the network has not been measured.
        TypeError: for a size that the network does not have.
    """
    speeds = throughput["networks"][model]
    frozen, trained, whole = relative_costs(model, network)
    learning = trained / speeds["train_digits_per_second"]  # seconds a digit, like the next two
    answering = whole / speeds["predict_digits_per_second"]
    validating, preparing = answering, 0.0
    if speeds["frozen_digits_per_second"] is not None:  # features of the frozen part are computed once
        copies = min(recipe.epochs, recipe.variations) * recipe.train_size
        preparing = (copies + recipe.validation_size) * frozen / speeds["frozen_digits_per_second"]
        validating = FORWARD * learning
    epoch = recipe.train_size * learning + recipe.validation_size * validating
    return throughput["startup_seconds"] + preparing + recipe.epochs * epoch + TEST_DIGITS * answering


def relative_costs(model: str, network: dict[str, Any]) -> tuple[float, float, float]:
    """Operations for one digit as multiples of the default network's: the frozen part, the trained part, and both.

    Arguments and errors as in `estimate`.
    """
    if not network:
        return 1.0, 1.0, 1.0
    frozen, trained = count_operations(model, json.dumps(network, sort_keys=True))
    usual_frozen, usual_trained = count_operations(model, "{}")
    return frozen / max(usual_frozen, 1), trained / usual_trained, (frozen + trained) / (usual_frozen + usual_trained)


@cache
def count_operations(model: str, network: str) -> tuple[int, int]:
    """Floating-point operations that the frozen and the trained part need to read one digit; `network` in JSON."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    config = json.loads(network)
    if MODELS[model].family is Family.FINE_TUNED:
        config |= {"backbone": "none", "fingerprint": ""}  # the number of operations depends on sizes alone
    built, digit = MODELS[model].build(config).eval(), torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if not hasattr(built, "extract_features"):
            built(digit)
            return 0, counter.get_total_flops()
        features = built.extract_features(digit)
        frozen = counter.get_total_flops()
        built.classify(features)
        return frozen, counter.get_total_flops() - frozen
