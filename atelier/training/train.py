"""One run from its start, or from where it was interrupted, to its result."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from atelier import checkpoint
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.evaluation.metrics import classification_metrics
from atelier.training.devices import pick_device, pick_precision
from atelier.training.loop import DivergedError, Event, Session, fit
from atelier.training.recipe import Augmentation, Recipe
from atelier.training.runs import Run
from atelier.zoo import MODELS


def new_config(model: str, recipe: Recipe, device: str) -> dict[str, Any]:
    """What `config.json` of a new run says; `device` is resolved to one that this machine has.

    Raises:
        ValueError: if this machine does not have the device.
    """
    place = pick_device(device)
    return {
        "model": model,
        "network": asdict(MODELS[model].build().config),
        "recipe": asdict(recipe),
        "device": place.type,
        "device_name": torch.cuda.get_device_name() if place.type == "cuda" else f"{os.cpu_count()} CPU cores",
        "precision": pick_precision(recipe.precision, place),
        "data": mnist.fingerprint(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "lightning-fabric")},
    }


def train(config: dict[str, Any], run: Run | None) -> Iterator[Event]:
    """Train as `config` says (see `new_config`), from where `run` stands to its end.

    Args:
        config: the run's `config.json`.
        run: the folder to keep everything in; None for the processes of a `torchrun` launch that write nothing.

    Yields:
        the events of `fit`, and one of split "test" at the end.

    Raises:
        RunError: if another process trains this run.
        DivergedError, MemoryError, OSError: after the reason has been written to the run's status.
    """
    if run is None:
        yield from _train(config, None)
        return
    with run.lock():
        try:
            run.set_status("running")
            yield from _train(config, run)
            run.set_status("done")
        except (KeyboardInterrupt, GeneratorExit):
            run.set_status("interrupted", "Stopped before its end; it can be resumed.")
            raise
        except torch.OutOfMemoryError:
            reason = f"The device has too little memory: halve the batch size of {config['recipe']['batch_size']}."
            run.set_status("failed", reason)
            raise MemoryError(reason) from None
        except (DivergedError, OSError, checkpoint.CheckpointError) as error:
            run.set_status("failed", str(error))
            raise


def _train(config: dict[str, Any], run: Run | None) -> Iterator[Event]:
    spec, recipe = MODELS[config["model"]], _recipe(config["recipe"])
    processes, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=config["device"], devices=here, num_nodes=processes // here, precision=config["precision"]
    )
    fabric.launch()
    torch.manual_seed(recipe.seed)
    session = Session(spec.build(config["network"]), recipe, fabric)
    if fabric.global_rank > 0:
        torch.manual_seed(recipe.seed + fabric.global_rank)  # each process varies its own digits

    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    card["config"] = config["network"]
    best = 0.0
    if run is not None and run.path("last.safetensors").is_file():
        tensors, last = checkpoint.load(run.path("last.safetensors"))
        session.restore(tensors, last["progress"])
        best = last["progress"]["best"]

    training, validation, test = (_on(fabric.device, split) for split in mnist.SPLITS)
    for event in fit(session, training, validation):
        if run is not None:
            run.append(asdict(event))
            if event.split == "val":
                if event.accuracy >= best:
                    best = event.accuracy
                    result = {"validation_accuracy": best, "seconds": event.seconds}
                    checkpoint.save(run.path("best.safetensors"), session.network.state_dict(), card | result)
                progress = session.counters() | {"best": best}
                checkpoint.save(run.path("last.safetensors"), session.tensors(), card | {"progress": progress})
        yield event

    if run is not None:
        tensors, card = checkpoint.load(run.path("best.safetensors"))
        session.network.load_state_dict(tensors)
        classifier = Classifier(spec, session.network, card)
        result = classification_metrics(classifier.predict_proba(test[0].cpu().numpy()), test[1].cpu().numpy())
        result |= {"seconds": session.seconds, "validation_accuracy": best}
        checkpoint.save(run.path("best.safetensors"), tensors, card | result)
        run.write("result.json", result)
        event = Event(
            "test", session.step, recipe.epochs, session.seconds, result["loss"], result["accuracy"], 0.0, 0.0
        )
        run.append(asdict(event))
        yield event


def _recipe(saved: dict[str, Any]) -> Recipe:
    return Recipe(**{**saved, "augmentation": Augmentation(**saved["augmentation"])})


def _on(device: torch.device, split: str) -> tuple[Tensor, Tensor]:
    images, labels = mnist.load(split)
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)
