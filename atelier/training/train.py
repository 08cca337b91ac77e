"""One run from its start, or from where it was interrupted, to its result."""

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from atelier import checkpoint
from atelier.data import mnist
from atelier.evaluation.metrics import classification_metrics
from atelier.training.devices import pick_device, pick_precision
from atelier.training.jobs import Asked, requested
from atelier.training.loop import (
    Event,
    Preparation,
    Session,
    confusion,
    fit,
    load_weights,
    new_optimizers,
    weights,
)
from atelier.training.recipe import Recipe, RecipeError
from atelier.training.runs import REQUESTS, Run, RunError, read_recipe
from atelier.training.tasks import Digits, predict_logits
from atelier.training.watch import Watch
from atelier.zoo import MODELS

SAVE_EVERY = 30.0  # seconds: no more work than this is lost when the process is killed
WATCH_EVERY = 2.0  # seconds


def new_config(model: str, recipe: Recipe, device: str, network: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `config.json` of a new run says; `device` is resolved to one that this machine has, and what `network` does
    not name of the network's config is as it is by default.

    Raises:
        ValueError: if this machine does not have the device, or the network cannot be built or trained so.
        CheckpointError: if the backbone it builds on cannot be had.
    """
    try:
        built = MODELS[model].build(network)
    except TypeError:
        raise RecipeError(f"{MODELS[model].title} cannot be changed in {', '.join(network or {})}.") from None
    new_optimizers(built, recipe)  # is refused here, not after the start
    return {"model": model, "network": asdict(built.config), "data": mnist.fingerprint()} | circumstances(
        recipe, device
    )


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


def train(config: dict[str, Any], run: Run | None, writes: bool = True) -> Iterator[Event | Preparation]:
    """Train as `config` says (see `new_config`), from where `run` stands to its end.

    Args:
        config: the run's `config.json`.
        run: its folder; None where there is nothing to resume and nothing to write.
        writes: whether this process keeps the folder; of the processes of a `torchrun` launch only the first does.

    Yields:
        the events of `fit`, and one of split "test" at the end.

    Raises:
        RunError: if the config is damaged.
        Asked: if a person has asked the run to pause or to stop, after its state has been saved.
        DivergedError, MemoryError, OSError: with a sentence.
    """
    recipe = read_recipe(config)
    config = config | {key: circumstances(recipe, config["device"])[key] for key in ("device_name", "versions")}
    processes, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=config["device"],
        devices=here,
        num_nodes=processes // here,
        precision=config["precision"],
        # The first process may wait for the device before it joins the others.
        strategy=DDPStrategy(timeout=timedelta(days=7)) if processes > 1 else "auto",
    )
    fabric.launch()
    torch.manual_seed(recipe.seed)
    session = Session(_build(config), recipe, fabric)
    data = _on(fabric.device, "train"), _on(fabric.device, "val", recipe.validation_size)
    try:
        yield from follow(session, config, run, writes, *data)
        if writes:
            yield _test(session, run)
    except torch.OutOfMemoryError:
        raise MemoryError(
            f"The device has too little memory. Start again with a batch size of {recipe.batch_size // 2} instead of "
            f"{recipe.batch_size}, or less."
        ) from None
    if processes > 1:  # all leave together: one that is gone while others still talk to it would take them along
        fabric.barrier()
        torch.distributed.destroy_process_group()


def follow(
    session: Session, config: dict[str, Any], run: Run | None, writes: bool, training: Digits, validation: Digits
) -> Iterator[Event | Preparation]:
    """The events of `fit`, written into the run's folder with the weights; continues where the folder stands.

    Raises:
        Asked: if a person has asked the run to pause or to stop, after its state has been saved.
    """
    best, watch = 0.0, Watch(session.answering) if config["model"] in MODELS else None
    if run is not None and run.path("last.safetensors").is_file():
        tensors, last = checkpoint.load(run.path("last.safetensors"))
        session.restore(tensors, last["progress"])
        best = last["progress"]["best"]
    if session.fabric.global_rank > 0:
        torch.manual_seed(session.recipe.seed + session.fabric.global_rank)  # each process varies its own digits

    card = {key: config[key] for key in ("model", "recipe", "device_name", "precision", "data", "versions")}
    card["config"] = config["network"]

    def save() -> None:
        progress = session.counters() | {"best": best}
        checkpoint.save(run.path("last.safetensors"), session.tensors(), card | {"progress": progress})

    saved = watched = time.monotonic()
    if writes:
        run.write("config.json", config)
        if watch:
            watch.look(run, session.step)
    for event in fit(session, training, validation):
        if writes and isinstance(event, Preparation):
            run.set_status("running", f"Computes frozen features: {event.done:,} of {event.of:,} digits.")
            if event.done == event.of:
                run.set_status("running")
        elif writes:
            run.append({name: value for name, value in asdict(event).items() if value is not None})
            if event.split == "val" and event.accuracy >= best:
                best = event.accuracy
                result = {"validation_accuracy": best, "seconds": event.seconds}
                checkpoint.save(run.path("best.safetensors"), halved(weights(session.answering)), card | result)
            if watch and (event.split == "val" or time.monotonic() - watched > WATCH_EVERY):
                watch.look(run, session.step)
                watched = time.monotonic()
            if event.split == "val" or time.monotonic() - saved > SAVE_EVERY:
                save()
                saved = time.monotonic()
        yield event
        request = session.fabric.broadcast(requested(run) if writes else "")  # all processes leave together
        if request in REQUESTS:
            if writes and isinstance(event, Event):
                save()
            raise Asked(request)


def _test(session: Session, run: Run) -> Event:
    """Touch the test digits, once, with the weights that validated best; write what they do into run and card."""
    tensors, card = checkpoint.load(run.path("best.safetensors"))
    load_weights(session.network, tensors)
    images, labels = _on(session.fabric.device, "test")
    started = time.perf_counter()
    with session.fabric.autocast():
        logits = predict_logits(session.network, images).float()
    speed = len(images) / (time.perf_counter() - started)
    result = classification_metrics(logits.softmax(dim=1).cpu().numpy(), labels.cpu().numpy())
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
        images_per_second=speed,
        confusion=confusion(logits, labels),
    )
    run.append(asdict(event))
    return event


def _build(config: dict[str, Any]) -> nn.Module:
    try:
        return MODELS[config["model"]].build(config["network"])
    except (KeyError, TypeError):
        raise RunError("The run's config.json is damaged; start a new run.") from None


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision: half the file, and the same answers."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _on(device: torch.device, split: str, count: int | None = None) -> Digits:
    images, labels = (part[:count] for part in mnist.load(split))
    return torch.tensor(images, device=device), torch.tensor(labels, device=device)
