"""The training loop of every network here: a generator of events that does not know who listens.

    for event in fit(session, training, validation):
        print(event)

What a batch means to a network is its task, see `tasks.py`.

The data lie on the device as one tensor; a batch is picked and varied there, so no worker processes are needed (as in
Keller Jordan's airbench, arXiv:2404.00498). Devices, mixed precision and several processes come from Lightning Fabric:
under `torchrun` every process takes its own share of each batch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from atelier.training.recipe import Recipe, RecipeError
from atelier.training.tasks import Digits, loss_and_accuracy, task_of

EVENTS_PER_EPOCH = 20
TRAINING_STATE = "training."  # names of tensors that only a resume needs begin with this


@dataclass(frozen=True)
class Event:
    """Something a listener may want to show."""

    split: str  # "train": the mean since the last event; "val": all validation digits
    step: int  # optimiser steps so far
    epoch: float  # passes over the training digits so far
    seconds: float  # spent training and validating so far, earlier parts of a resumed run included
    loss: float  # "val" and "test": cross-entropy in nats; "train": what is minimised, see `tasks.py`
    accuracy: float  # 0 to 1; while training, on augmented digits
    learning_rate: float
    images_per_second: float


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


class Session:
    """What a run carries from step to step: the network, its optimisers and their schedules."""

    def __init__(self, network: nn.Module, recipe: Recipe, fabric: Fabric):
        self.network, self.recipe, self.fabric = network, recipe, fabric
        self.step, self.seconds = 0, 0.0
        self.steps_per_epoch = recipe.train_size // recipe.batch_size
        optimizers = new_optimizers(network, recipe)
        self.schedules = [
            torch.optim.lr_scheduler.OneCycleLR(
                optimizer, recipe.learning_rate, total_steps=recipe.epochs * self.steps_per_epoch
            )
            for optimizer in optimizers
        ]
        self.model, *self.optimizers = fabric.setup(network.to(memory_format=torch.channels_last), *optimizers)
        for method in ("losses", "see", "read"):  # several processes share what is learnt in these, too
            if hasattr(network, method):
                self.model.mark_forward_method(method)

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self.step // self.steps_per_epoch

    def tensors(self) -> dict[str, Tensor]:
        """Weights by their own names; what else a resume needs under names that begin with TRAINING_STATE."""
        state = weights(self.network)
        for number, optimizer in enumerate(self.optimizers):
            for index, slots in optimizer.state_dict()["state"].items():
                place = f"{TRAINING_STATE}optimizer.{number}.{index}"
                state |= {f"{place}.{name}": slot for name, slot in slots.items()}
        state[f"{TRAINING_STATE}random"] = torch.get_rng_state()
        if self.fabric.device.type == "cuda":
            state[f"{TRAINING_STATE}random.cuda"] = torch.cuda.get_rng_state(self.fabric.device)
        return state

    def counters(self) -> dict[str, Any]:
        """What a resume needs beside `tensors`: numbers and names that JSON can hold."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "optimizers": [optimizer.state_dict()["param_groups"] for optimizer in self.optimizers],
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Continue where another session with the same recipe stood when its `tensors` and `counters` were saved."""
        load_weights(self.network, tensors)
        slots: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimizers]
        for name, tensor in tensors.items():
            if name.startswith(f"{TRAINING_STATE}optimizer."):
                number, index, slot = name.removeprefix(f"{TRAINING_STATE}optimizer.").split(".", 2)
                slots[int(number)].setdefault(int(index), {})[slot] = tensor
        self.step, self.seconds = counters["step"], counters["seconds"]
        for number, (optimizer, schedule) in enumerate(zip(self.optimizers, self.schedules, strict=True)):
            schedule.load_state_dict(counters["schedules"][number])
            optimizer.load_state_dict({"state": slots[number], "param_groups": counters["optimizers"][number]})
        torch.set_rng_state(tensors[f"{TRAINING_STATE}random"].cpu())
        if f"{TRAINING_STATE}random.cuda" in tensors and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[f"{TRAINING_STATE}random.cuda"].cpu(), self.fabric.device)

    def event(self, split: str, loss: Tensor, accuracy: Tensor, images_per_second: float) -> Event:
        epoch, rate = self.step / self.steps_per_epoch, self.schedules[0].get_last_lr()[0]
        loss, accuracy = self.fabric.all_reduce(torch.stack([loss, accuracy])).tolist()  # mean over all processes
        if not loss < float("inf"):
            raise DivergedError(
                f"The loss became {loss} in step {self.step}. Start again with a learning rate well below "
                f"{self.recipe.learning_rate:g}."
            )
        return Event(split, self.step, epoch, self.seconds, loss, accuracy, rate, images_per_second)


def new_optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimiser; two of them where Muon trains the hidden matrices, and AdamW what is left.

    Raises:
        RecipeError: if the network has no hidden matrices.
    """
    trained, hidden = [p for p in network.parameters() if p.requires_grad], []
    if recipe.optimizer == "muon":
        if not hasattr(network, "hidden_matrices"):
            raise RecipeError("Muon trains hidden matrices, and only the ViT has them: choose another optimiser.")
        hidden = network.hidden_matrices()
    taken = {id(p) for p in hidden}
    rest = [p for p in trained if id(p) not in taken]
    groups = [  # only matrices and filters are pulled towards zero, not biases and norms
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.learning_rate)]
    if hidden:
        optimizers.append(
            torch.optim.Muon(
                hidden, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return optimizers


def fit(session: Session, training: Digits, validation: Digits) -> Iterator[Event]:
    """Train from where `session` stands to the end of its recipe.

    Args:
        session: changed in place. At each "val" event it stands at the end of an epoch and may be saved.
        training, validation: `(images uint8[N, 28, 28], labels int64[N])` on the session's device.

    Yields:
        a "train" event about EVENTS_PER_EPOCH times an epoch, a "val" event at the end of each epoch.

    Raises:
        DivergedError: if the loss becomes infinite or not a number.
    """
    task = task_of(session.network)(session, training, validation)
    every = max(1, session.steps_per_epoch // EVENTS_PER_EPOCH)
    for epoch in range(session.epoch, session.recipe.epochs):
        clock, results = time.perf_counter(), []
        task.start_epoch(epoch)
        session.model.train()
        for batch in epoch_batches(session, epoch, training[0].device):
            loss, accuracy = task.loss(batch)
            take_step(session, loss)
            results.append(torch.stack([loss.detach(), accuracy]))
            if session.step % every == 0:
                loss, accuracy = torch.stack(results).mean(0)
                elapsed = time.perf_counter() - clock
                session.seconds += elapsed
                speed = len(results) * session.recipe.batch_size / elapsed
                yield session.event("train", loss, accuracy, speed)
                clock, results = time.perf_counter(), []

        logits = task.validation_logits()
        elapsed = time.perf_counter() - clock
        session.seconds += elapsed
        yield session.event("val", *loss_and_accuracy(logits, validation[1]), len(logits) / elapsed)


def epoch_batches(session: Session, epoch: int, device: torch.device) -> Iterator[Tensor]:
    """The indices `int64[batch]` of this process's share of each batch, in an order fixed by seed and epoch."""
    recipe, fabric = session.recipe, session.fabric
    order = torch.randperm(recipe.train_size, generator=torch.Generator().manual_seed(recipe.seed * 10_000 + epoch))
    for batch in order.to(device).split(recipe.batch_size)[: session.steps_per_epoch]:
        yield batch[fabric.global_rank :: fabric.world_size]


def take_step(session: Session, loss: Tensor) -> None:
    """Backward, and one step of each optimiser and its schedule."""
    session.fabric.backward(loss)
    for optimizer, schedule in zip(session.optimizers, session.schedules, strict=True):
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    session.step += 1


def weights(network: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint of this network holds: its weights without those that it borrows from a backbone's file."""
    borrowed = network.borrowed() if hasattr(network, "borrowed") else set()
    return {name: tensor for name, tensor in network.state_dict().items() if name not in borrowed}


def load_weights(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a network the weights of a checkpoint; what only a resume needs is left aside.

    Raises:
        RuntimeError: if they are not those of such a network.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_STATE)}
    if kept.keys() != weights(network).keys():
        raise RuntimeError("These are the weights of another network.")
    network.load_state_dict(kept, strict=False)
