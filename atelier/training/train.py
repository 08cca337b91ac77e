"""One run from its start, or from where it was interrupted, to its result."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from atelier import checkpoint
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.evaluation.metrics import classification_metrics
from atelier.training.devices import pick_device, pick_precision
from atelier.training.loop import DivergedError, Event, Session, fit, load_weights, weights
from atelier.training.recipe import Augmentation, Recipe, RecipeError
from atelier.training.runs import Run, RunError
from atelier.training.tasks import Digits
from atelier.zoo import MODELS


def new_config(model: str, recipe: Recipe, device: str, network: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `config.json` of a new run says; `device` is resolved to one that this machine has, and what `network` does
    not name of the network's config is as it is by default.

    Raises:
        ValueError: if this machine does not have the device, or the network cannot be built so.
        CheckpointError: if the backbone it builds on cannot be had.
    """
    try:
        built = asdict(MODELS[model].build(network).config)
    except TypeError:
        raise RecipeError(f"{MODELS[model].title} cannot be changed in {', '.join(network or {})}.") from None
    return {"model": model, "network": built, "data": mnist.fingerprint()} | circumstances(recipe, device)


def circumstances(recipe: Recipe, device: str) -> dict[str, Any]:
    """What a run's config says of the recipe, the device and the versions.

    Raises:
        ValueError: if this machine does not have the device.
    """
    place = pick_device(device)
    return {
        "recipe": asdict(recipe),
        "device": place.type,
        "device_name": torch.cuda.get_device_name() if place.type == "cuda" else _cores(),
        "precision": pick_precision(recipe.precision, place),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "lightning-fabric")},
    }


def _cores() -> str:
    count = torch.get_num_threads()
    return f"{count} CPU core{'s' if count > 1 else ''}"


def train(config: dict[str, Any], run: Run | None, writes: bool = True) -> Iterator[Event]:
    """Train as `config` says (see `new_config`), from where `run` stands to its end.

    Args:
        config: the run's `config.json`.
        run: its folder; None where there is nothing to resume and nothing to write.
        writes: whether this process keeps the folder; of the processes of a `torchrun` launch only the first does.

    Yields:
        the events of `fit`, and one of split "test" at the end.

    Raises:
        as `attended`.
    """
    return attended(config, run if writes else None, _train(config, run, writes))


def attended(config: dict[str, Any], run: Run | None, events: Iterator[Event]) -> Iterator[Event]:
    """The events of a training, while its run is locked and its status says how it goes.

    Raises:
        RunError: if another process trains this run, or its config is damaged.
        DivergedError, MemoryError, OSError: after the reason has been written to the run's status.
    """
    if run is None:
        yield from events
        return
    with run.lock():
        try:
            run.set_status("running")
            yield from events
            run.set_status("done")
        except (KeyboardInterrupt, GeneratorExit):
            run.set_status("interrupted", "Stopped before its end; it can be resumed.")
            raise
        except torch.OutOfMemoryError:
            reason = f"The device has too little memory: halve the batch size of {config['recipe']['batch_size']}."
            run.set_status("failed", reason)
            raise MemoryError(reason) from None
        except (DivergedError, OSError, RunError, checkpoint.CheckpointError) as error:
            run.set_status("failed", str(error))
            raise


def _train(config: dict[str, Any], run: Run | None, writes: bool) -> Iterator[Event]:
    recipe = read_recipe(config)
    processes, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=config["device"], devices=here, num_nodes=processes // here, precision=config["precision"]
    )
    fabric.launch()
    torch.manual_seed(recipe.seed)
    session = Session(_build(config), recipe, fabric)
    yield from follow(session, config, run, writes, _on(fabric.device, "train"), _on(fabric.device, "val"))
    if writes:
        yield _test(session, run)
    if processes > 1:  # all leave together: one that is gone while others still talk to it would take them along
        fabric.barrier()
        torch.distributed.destroy_process_group()


def follow(
    session: Session, config: dict[str, Any], run: Run | None, writes: bool, training: Digits, validation: Digits
) -> Iterator[Event]:
    """The events of `fit`, written into the run's folder with the weights; continues where the folder stands."""
    best = 0.0
    if run is not None and run.path("last.safetensors").is_file():
        tensors, last = checkpoint.load(run.path("last.safetensors"))
        session.restore(tensors, last["progress"])
        best = last["progress"]["best"]
    if session.fabric.global_rank > 0:
        torch.manual_seed(session.recipe.seed + session.fabric.global_rank)  # each process varies its own digits

    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    card["config"] = config["network"]
    for event in fit(session, training, validation):
        if writes:
            run.append(asdict(event))
            if event.split == "val":
                if event.accuracy >= best:
                    best = event.accuracy
                    result = {"validation_accuracy": best, "seconds": event.seconds}
                    checkpoint.save(run.path("best.safetensors"), halved(weights(session.network)), card | result)
                progress = session.counters() | {"best": best}
                checkpoint.save(run.path("last.safetensors"), session.tensors(), card | {"progress": progress})
        yield event


def _test(session: Session, run: Run) -> Event:
    """Touch the test digits, once, with the weights that validated best; write what they do into run and card."""
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    load_weights(session.network, tensors)
    images, labels = mnist.load("test")
    probabilities = Classifier(MODELS[card["model"]], session.network, card).predict_proba(images)
    result = classification_metrics(probabilities, labels)
    result |= {"seconds": round(session.seconds, 2), "validation_accuracy": card["validation_accuracy"]}
    checkpoint.save(run.path("best.safetensors"), tensors, card | result)
    run.write("result.json", result)
    event = Event(
        split="test",
        step=session.step,
        epoch=session.recipe.epochs,
        seconds=session.seconds,
        loss=result["loss"],
        accuracy=result["accuracy"],
        learning_rate=0.0,
        images_per_second=0.0,
    )
    run.append(asdict(event))
    return event


def _build(config: dict[str, Any]) -> nn.Module:
    try:
        return MODELS[config["model"]].build(config["network"])
    except (KeyError, TypeError):
        raise RunError("The run's config.json is damaged; start a new run.") from None


def read_recipe(config: dict[str, Any]) -> Recipe:
    """The recipe in a run's config.

    Raises:
        RunError: if somebody has damaged it.
    """
    try:
        recipe = config["recipe"]
        return Recipe(**{**recipe, "augmentation": Augmentation(**recipe["augmentation"])})
    except (KeyError, TypeError, ValueError):
        raise RunError("The run's config.json is damaged; start a new run.") from None


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision: half the file, and the same answers."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _on(device: torch.device, split: str) -> tuple[Tensor, Tensor]:
    images, labels = mnist.load(split)
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)
