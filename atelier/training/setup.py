"""Preparation of a run: its config, a check of its recipe, its session and its task."""

from dataclasses import asdict
from importlib.metadata import version
from platform import python_version
from typing import Any

import torch
from lightning_fabric import Fabric

from atelier.data import mnist
from atelier.devices import describe_device, pick_device, pick_precision
from atelier.models import backbones
from atelier.recipe import Recipe, RecipeError
from atelier.training.session import Session, new_optimizers
from atelier.training.tasks import Classification, Detection, Digits, FineTuning, task_type
from atelier.zoo import MODELS, Family

LARGEST_FEATURES = 8 << 30  # bytes of memory for the cached features of all digits


def new_config(model: str, recipe: Recipe, device: str, network: dict[str, Any] | None = None) -> dict[str, Any]:
    """The `config.json` of a new run.

    Args:
        model: a name in MODELS.
        device: "auto", "cpu", "cuda" or "mps"; the config names the one that this machine has.
        network: sizes that differ from the network's default config.

    Raises:
        ValueError: if this machine does not have the device, or the network cannot be built or trained in this way.
        CheckpointError: if its backbone is damaged or missing; one that can be downloaded is no error.
    """
    network = network or {}
    later = {"backbone": network["backbone"]} if must_download(model, network) else {}  # the run downloads it
    try:
        built = MODELS[model].build(network | dict.fromkeys(later, "none"))
    except TypeError:
        raise RecipeError(f"{MODELS[model].title} has no setting {', '.join(network)}.") from None
    environment = describe_environment(recipe, device)
    check(built, MODELS[model].family, recipe, environment["precision"])
    return {"model": model, "network": asdict(built.config) | later, "data": mnist.fingerprint()} | environment


def must_download(model: object, network: object) -> bool:
    """Whether a network of this config builds on ImageNet weights that are not on this machine yet."""
    if not isinstance(model, str) or model not in MODELS or MODELS[model].family is not Family.FINE_TUNED:
        return False
    return isinstance(network, dict) and network.get("backbone") == "imagenet" and not backbones.is_here(model)


def check(network: torch.nn.Module, family: Family | None, recipe: Recipe, precision: str) -> None:
    """Refuse a recipe that cannot work.

    Raises:
        RecipeError: with the reason.
    """
    new_optimizers(network, recipe)
    task = task_type(family, network)
    if task is Detection and precision != "32-true":
        raise RecipeError("A detector needs full precision. Choose 32-true.")
    if task is FineTuning:
        if recipe.ema_decay:
            raise RecipeError("Averaged weights need a network that is trained as a whole. Set their decay to 0.")
        with torch.no_grad():
            digit = torch.zeros(1, mnist.SIDE, mnist.SIDE, dtype=torch.uint8)
            values = network.extract_features(digit).numel()
        copies = min(recipe.epochs, recipe.variations) * recipe.train_size + recipe.validation_size
        if (size := 2 * values * copies) > LARGEST_FEATURES:  # two bytes each
            raise RecipeError(
                f"The features of all digits need {size >> 30} GB of memory. Choose fewer copies of each digit, fewer "
                "training digits, a smaller input size, or fewer trained convolutions."
            )


def describe_environment(recipe: Recipe, device: str) -> dict[str, Any]:
    """The part of a run's config about recipe, device and versions.

    Raises:
        ValueError: if this machine does not have the device.
    """
    place = pick_device(device)
    return {
        "recipe": asdict(recipe),
        "device": place.type,
        "device_name": describe_device(place),
        "precision": pick_precision(recipe.precision, place),
        "versions": {"python": python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "lightning-fabric")},
    }


def new_session(model: str, recipe: Recipe, device: torch.device, config: dict[str, Any] | None = None) -> Session:
    """A session of one process, for measurements and studies; the recipe's seed decides the first weights.

    Args:
        model: a name in MODELS.
        config: sizes that differ from the network's default config.
    """
    torch.manual_seed(recipe.seed)
    precision: Any = pick_precision(recipe.precision, device)
    fabric = Fabric(accelerator=device.type, devices=1, precision=precision)
    return Session(MODELS[model].build(config), recipe, fabric)


def new_task(model: str, session: Session, training: Digits, validation: Digits) -> Classification:
    """The task of a network in MODELS; another name trains by plain classification."""
    family = MODELS[model].family if model in MODELS else None
    return task_type(family, session.network)(session, training, validation)


def to_device(split: str, device: torch.device, count: int | None = None) -> Digits:
    """A split of MNIST, or its first digits, on a device."""
    images, labels = (part[:count] for part in mnist.load(split))
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)
