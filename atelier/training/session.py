"""The state of a training: the network, its optimisers, their schedules and the averaged weights."""

import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atelier.checkpoint import TRAINING_STATE, load_weights, weights
from atelier.recipe import Recipe, RecipeError

METHODS = ("losses", "extract_features", "classify")  # of networks, beside `forward`, that Fabric must wrap


class Session:
    """A training in progress. `tensors` and `counters` save it; `restore` continues it in another process."""

    def __init__(self, network: nn.Module, recipe: Recipe, fabric: Fabric):
        self.network: Any = network  # its further methods depend on its family
        self.recipe, self.fabric = recipe, fabric
        self.step, self.epoch = 0, 0  # steps taken, epochs finished
        self.seconds, self._clock = 0.0, 0.0
        self.steps_per_epoch = recipe.train_size // recipe.batch_size
        optimizers = new_optimizers(network, recipe)
        self.schedules = [new_schedule(optimizer, recipe, self.steps_per_epoch) for optimizer in optimizers]
        self.model, *self.optimizers = fabric.setup(network.to(memory_format=torch.channels_last), *optimizers)
        # The averaged weights generalise better than those of any one step (Polyak and Juditsky 1992; Izmailov et al.
        # 2018, arXiv:1803.05407).
        self.average = (
            AveragedModel(network, multi_avg_fn=self._ema_step, use_buffers=True) if recipe.ema_decay else None
        )
        for method in METHODS:
            if hasattr(network, method):
                self.model.mark_forward_method(method)

    def _ema_step(self, averages: Any, weights: Any, count: Any) -> None:
        decay = min(self.recipe.ema_decay, (1 + count.item()) / (10 + count.item()))  # forget the first steps sooner
        get_ema_multi_avg_fn(decay)(averages, weights, count)

    @property
    def answering(self) -> Any:
        """The network that is validated and saved: the averaged one where there is one."""
        return self.average.module if self.average else self.network

    # Save and restore ------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their own names, and the state for a resume under names that begin with TRAINING_STATE."""
        state = weights(self.network)
        for number, optimizer in enumerate(self.optimizers):
            for index, slots in optimizer.state_dict()["state"].items():
                prefix = f"{TRAINING_STATE}optimizer.{number}.{index}"
                state |= {f"{prefix}.{name}": slot for name, slot in slots.items()}
        if self.average:
            average = {"n_averaged": self.average.n_averaged, **weights(self.average.module)}
            state |= {f"{TRAINING_STATE}average.{name}": tensor for name, tensor in average.items()}
        state[f"{TRAINING_STATE}random"] = torch.get_rng_state()
        if (device := self.fabric.device).type != "cpu":
            state[f"{TRAINING_STATE}random.{device.type}"] = torch.get_device_module(device).get_rng_state()
        return state

    def counters(self) -> dict[str, Any]:
        """The rest of the state for a resume: numbers and names that JSON can hold."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "optimizers": [optimizer.state_dict()["param_groups"] for optimizer in self.optimizers],
            "precision": self.fabric.strategy.precision.state_dict(),  # the loss scale of 16-mixed on a GPU
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Continue where a session with the same recipe saved its `tensors` and `counters`."""
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
        for optimizer, state, groups in zip(self.optimizers, slots, counters["optimizers"], strict=True):
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        for schedule, state in zip(self.schedules, counters["schedules"], strict=True):
            schedule.load_state_dict(state)
        torch.set_rng_state(tensors[f"{TRAINING_STATE}random"].cpu())
        device = self.fabric.device
        if (random := tensors.get(f"{TRAINING_STATE}random.{device.type}")) is not None:
            torch.get_device_module(device).set_rng_state(random.cpu())
        if counters.get("precision"):
            self.fabric.strategy.precision.load_state_dict(counters["precision"])

    # The clock, which stands still while a listener handles an event -------------------------------------------------

    def start_clock(self) -> None:
        self._clock = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the clock was started; they are added to the run's, and the clock starts again."""
        started, self._clock = self._clock, time.perf_counter()
        self.seconds += self._clock - started
        return self._clock - started

    def seconds_since_event(self) -> float:
        return time.perf_counter() - self._clock


def new_optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimiser; two where Muon trains the hidden matrices and AdamW the other weights.

    Raises:
        RecipeError: if Muon is chosen for a network without `hidden_matrices`.
    """
    trained, hidden = [p for p in network.parameters() if p.requires_grad], []
    if recipe.optimizer == "muon":
        if not hasattr(network, "hidden_matrices"):
            raise RecipeError("Muon needs hidden matrices, which this network does not have. Choose another optimiser.")
        hidden = network.hidden_matrices()
    hidden_ids = {id(p) for p in hidden}
    rest = [p for p in trained if id(p) not in hidden_ids]
    groups = [  # weight decay is for matrices and filters, not for biases and norms
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
    """The recipe's learning-rate schedule over all its steps."""
    steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
