"""The training loop of every network here: a generator of events that does not know who listens.

    for event in fit(session, training, validation):
        print(event)

Whoever listens may stop at any event, keep the session's `tensors` and `counters`, and go on from there later: the
weights end up as if nothing had happened.

What a batch means to a network is its task, see `tasks.py`.

The data lie on the device as one tensor; a batch is picked and varied there, so no worker processes are needed (as in
Keller Jordan's airbench, arXiv:2404.00498). Devices, mixed precision and several processes come from Lightning Fabric:
under `torchrun` every process takes its own share of each batch; its batch norms see that share alone.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atelier.recipe import Recipe, RecipeError
from atelier.training.events import Counts, Event, Preparation
from atelier.training.tasks import Digits, loss_and_accuracy, task_of

EVENTS_PER_EPOCH = 20
EVENT_SECONDS = 0.5  # a slow network is heard of sooner than after a twentieth of an epoch
TRAINING_STATE = "training."  # names of tensors that only a resume needs begin with this


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


class MisfitError(RuntimeError):
    """Weights of another network."""


class Session:
    """What a run carries from step to step: the network, its optimisers and their schedules."""

    def __init__(self, network: nn.Module, recipe: Recipe, fabric: Fabric):
        self.network, self.recipe, self.fabric = network, recipe, fabric
        self.step, self.epoch = 0, 0  # steps taken, epochs finished
        self.seconds, self.clock = 0.0, 0.0
        self.steps_per_epoch = recipe.train_size // recipe.batch_size
        optimizers = new_optimizers(network, recipe)
        self.schedules = [new_schedule(optimizer, recipe, self.steps_per_epoch) for optimizer in optimizers]
        self.model, *self.optimizers = fabric.setup(network.to(memory_format=torch.channels_last), *optimizers)
        # The mean of the last steps' weights answers better than any step's own (Polyak and Juditsky 1992; Izmailov et
        # al. 2018, arXiv:1803.05407).
        self.average = (
            AveragedModel(network, multi_avg_fn=self._average, use_buffers=True) if recipe.averaging else None
        )
        for method in ("losses", "see", "read"):  # several processes share what is learnt in these, too
            if hasattr(network, method):
                self.model.mark_forward_method(method)

    def _average(self, averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        keep = min(self.recipe.averaging, (1 + count.item()) / (10 + count.item()))  # at first, forget the beginning
        get_ema_multi_avg_fn(keep)(averages, weights, count)

    @property
    def answering(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        return self.average.module if self.average else self.network

    def tensors(self) -> dict[str, Tensor]:
        """Weights by their own names; what else a resume needs under names that begin with TRAINING_STATE."""
        state = weights(self.network)
        for number, optimizer in enumerate(self.optimizers):
            for index, slots in optimizer.state_dict()["state"].items():
                place = f"{TRAINING_STATE}optimizer.{number}.{index}"
                state |= {f"{place}.{name}": slot for name, slot in slots.items()}
        if self.average:
            average = {"n_averaged": self.average.n_averaged, **weights(self.average.module)}
            state |= {f"{TRAINING_STATE}average.{name}": tensor for name, tensor in average.items()}
        state[f"{TRAINING_STATE}random"] = torch.get_rng_state()
        if (device := self.fabric.device).type != "cpu":
            state[f"{TRAINING_STATE}random.{device.type}"] = torch.get_device_module(device).get_rng_state()
        return state

    def counters(self) -> dict[str, Any]:
        """What a resume needs beside `tensors`: numbers and names that JSON can hold."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "optimizers": [optimizer.state_dict()["param_groups"] for optimizer in self.optimizers],
            "precision": self.fabric.strategy.precision.state_dict(),  # of a GPU's 16-mixed: how losses are scaled
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Continue where another session with the same recipe stood when its `tensors` and `counters` were saved."""
        load_weights(self.network, tensors)
        slots: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimizers]
        for name, tensor in tensors.items():
            if name.startswith(f"{TRAINING_STATE}optimizer."):
                number, index, slot = name.removeprefix(f"{TRAINING_STATE}optimizer.").split(".", 2)
                slots[int(number)].setdefault(int(index), {})[slot] = tensor
        if self.average:
            prefix = f"{TRAINING_STATE}average."
            average = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            self.average.n_averaged.copy_(average.pop("n_averaged"))
            load_weights(self.average.module, average)
        self.step, self.epoch, self.seconds = counters["step"], counters["epoch"], counters["seconds"]
        for number, (optimizer, schedule) in enumerate(zip(self.optimizers, self.schedules, strict=True)):
            schedule.load_state_dict(counters["schedules"][number])
            optimizer.load_state_dict({"state": slots[number], "param_groups": counters["optimizers"][number]})
        torch.set_rng_state(tensors[f"{TRAINING_STATE}random"].cpu())
        device = self.fabric.device
        if (random := tensors.get(f"{TRAINING_STATE}random.{device.type}")) is not None:
            torch.get_device_module(device).set_rng_state(random.cpu())
        if counters.get("precision"):
            self.fabric.strategy.precision.load_state_dict(counters["precision"])

    def start_clock(self) -> None:
        self.clock = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the clock was started, now added to those of the run; it starts anew."""
        started, self.clock = self.clock, time.perf_counter()
        self.seconds += self.clock - started
        return self.clock - started

    def event(self, split: str, results: list[Tensor], images: int, confusion: Counts | None = None) -> Event:
        """What to tell of `results`, pairs of loss and accuracy, and of the time that these `images` took."""
        loss, accuracy = self.fabric.all_reduce(torch.stack(results).mean(0)).tolist()  # mean over all processes
        speed = images / self.lap()  # not before: only now a GPU has done what it was told to
        epoch, rate = self.step / self.steps_per_epoch, self.schedules[0].get_last_lr()[0]
        if not loss < float("inf"):
            raise DivergedError(
                f"The loss became {loss} in step {self.step}. Start again with a learning rate well below "
                f"{self.recipe.learning_rate:g}."
            )
        return Event(split, self.step, epoch, self.seconds, loss, accuracy, rate, speed, confusion)


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
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)]
    if hidden:
        optimizers.append(
            torch.optim.Muon(
                hidden, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return optimizers


def new_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def fit(session: Session, training: Digits, validation: Digits) -> Iterator[Event | Preparation]:
    """Train from where `session` stands to the end of its recipe.

    Args:
        session: changed in place. At each event it stands between two steps and may be saved.
        training, validation: `(images uint8[N, 28, 28], labels int64[N])` on the session's device.

    Yields:
        a "train" event EVENTS_PER_EPOCH times an epoch or more, a "val" event at the end of each epoch, and
        Preparations while a fine-tuned network's features are computed.

    Raises:
        DivergedError: if the loss becomes infinite or not a number.
    """
    recipe = session.recipe
    task = task_of(session.network)(session, training, validation)
    every = max(1, session.steps_per_epoch // EVENTS_PER_EPOCH)
    for epoch in range(session.epoch, recipe.epochs):
        session.start_clock()
        for done, of in task.start_epoch(epoch):
            session.lap()
            yield Preparation("Computes frozen features", done, of, "digits")
            session.start_clock()

        session.model.train()
        results: list[Tensor] = []
        begun = session.step - epoch * session.steps_per_epoch  # more than 0 after a resume within the epoch
        for batch in islice(epoch_batches(session, epoch, training[0].device), begun, None):
            seed_step(session)
            loss, accuracy = task.loss(batch)
            take_step(session, loss)
            results.append(torch.stack([loss.detach(), accuracy]))
            if session.step % every == 0 or is_late(session):
                yield session.event("train", results, len(results) * recipe.batch_size)
                results = []
                session.start_clock()

        logits = task.validation_logits()
        session.epoch += 1
        result = torch.stack(loss_and_accuracy(logits, validation[1]))
        yield session.event("val", [result], len(logits), confusion(logits, validation[1]))


def is_late(session: Session) -> bool:
    """Whether EVENT_SECONDS have passed without an event. Several processes must agree when to speak, so they count
    steps only."""
    return session.fabric.world_size == 1 and time.perf_counter() - session.clock > EVENT_SECONDS


def confusion(logits: Tensor, labels: Tensor) -> Counts | None:
    """How often each true digit (row) was read as which (column); None for logits of something else."""
    if logits.shape[1] != 10:
        return None
    return tuple(map(tuple, torch.bincount(10 * labels + logits.argmax(1), minlength=100).view(10, 10).tolist()))


def epoch_batches(session: Session, epoch: int, device: torch.device) -> Iterator[Tensor]:
    """The indices `int64[batch]` of this process's share of each batch, in an order fixed by seed and epoch."""
    recipe, fabric = session.recipe, session.fabric
    order = torch.randperm(recipe.train_size, generator=torch.Generator().manual_seed(recipe.seed * 10_000 + epoch))
    for batch in order.to(device).split(recipe.batch_size)[: session.steps_per_epoch]:
        yield batch[fabric.global_rank :: fabric.world_size]


def seed_step(session: Session) -> None:
    """Where several processes train, each varies its digits in its own way. That follows from the step, for of their
    random states only the first process's is kept for a resume."""
    recipe, fabric = session.recipe, session.fabric
    if fabric.world_size > 1:
        torch.manual_seed(recipe.seed * 1_000_003 + session.step * fabric.world_size + fabric.global_rank)


def take_step(session: Session, loss: Tensor) -> None:
    """Backward, and one step of each optimiser and its schedule."""
    session.fabric.backward(loss)
    for optimizer, schedule in zip(session.optimizers, session.schedules, strict=True):
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    if session.average:
        session.average.update_parameters(session.network)
    session.step += 1


def weights(network: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint of this network holds: its weights without those that it borrows from a backbone's file."""
    borrowed = network.borrowed() if hasattr(network, "borrowed") else set()
    return {name: tensor for name, tensor in network.state_dict().items() if name not in borrowed}


def load_weights(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a network the weights of a checkpoint; what only a resume needs is left aside.

    Raises:
        MisfitError: if they are not those of such a network.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_STATE)}
    if shapes(kept) != shapes(weights(network)):
        raise MisfitError("These are the weights of another network.")
    network.load_state_dict(kept, strict=False)


def shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
