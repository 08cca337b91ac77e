"""The training loop of every network here: a generator of events, independent of its listeners.

    for event in fit(session, task):
        print(event)

A listener may stop at any event, save the session's `tensors` and `counters`, and continue later: the final weights are
the same as without the break. How a network learns from a batch is its task, see `tasks.py`.

The data lie on the device as one tensor; a batch is selected and augmented there, so no worker processes are needed (as
in Keller Jordan's airbench, arXiv:2404.00498). Devices, mixed precision and several processes come from Lightning
Fabric: under `torchrun` each process takes its share of every batch, and its batch norms use that share alone.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from atelier.data.mnist import CLASSES
from atelier.training.events import Counts, Event, Preparation
from atelier.training.session import Session
from atelier.training.tasks import Classification, loss_and_accuracy

EVENTS_PER_EPOCH = 20
EVENT_SECONDS = 0.5  # a slow network reports before a twentieth of an epoch is over


class DivergedError(RuntimeError):
    """The loss is infinite or not a number."""


def fit(session: Session, task: Classification) -> Iterator[Event | Preparation]:
    """Train from the session's step to the end of its recipe, and validate after each epoch.

    Args:
        session: changed in place. At each event it is between two steps and may be saved.
        task: the network's task, with the training and validation digits.

    Yields:
        a "train" event EVENTS_PER_EPOCH times an epoch or more, a "val" event at the end of each epoch, and a
        Preparation for each part of what the task prepares before an epoch.

    Raises:
        DivergedError: if the loss becomes infinite or not a number.
    """
    every = max(1, session.steps_per_epoch // EVENTS_PER_EPOCH)
    while session.epoch < session.recipe.epochs:
        session.start_clock()
        for preparation in task.start_epoch(session.epoch):
            session.lap()
            yield preparation
            session.start_clock()

        results: list[Tensor] = []
        for loss, accuracy in train_epoch(session, task):
            results.append(torch.stack([loss, accuracy]))
            if session.step % every == 0 or _is_late(session):
                yield new_event(session, "train", results, len(results) * session.recipe.batch_size)
                results = []
                session.start_clock()

        logits, labels = task.validation_logits(), task.validation[1]
        session.epoch += 1
        result = torch.stack(loss_and_accuracy(logits, labels))
        yield new_event(session, "val", [result], len(logits), confusion(logits, labels))


def train_epoch(session: Session, task: Classification) -> Iterator[tuple[Tensor, Tensor]]:
    """The steps that are left of the session's epoch; yields the loss and the accuracy of each."""
    session.model.train()
    done = session.step - session.epoch * session.steps_per_epoch  # above 0 after a resume within the epoch
    for batch in islice(epoch_batches(session), done, None):
        _seed_step(session)
        loss, accuracy = task.loss(batch)  # forward
        session.fabric.backward(loss)
        for optimizer, schedule in zip(session.optimizers, session.schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if session.average:
            session.average.update_parameters(session.network)
        session.step += 1
        yield loss.detach(), accuracy


def epoch_batches(session: Session) -> Iterator[Tensor]:
    """The indices `int64[batch]` of this process's share of each batch; seed and epoch fix their order."""
    recipe, fabric = session.recipe, session.fabric
    generator = torch.Generator().manual_seed(recipe.seed * 10_000 + session.epoch)
    order = torch.randperm(recipe.train_size, generator=generator).to(fabric.device)
    for batch in order.split(recipe.batch_size)[: session.steps_per_epoch]:
        yield batch[fabric.global_rank :: fabric.world_size]


def new_event(
    session: Session, split: str, results: list[Tensor], images: int, confusion: Counts | None = None
) -> Event:
    """The event for `results`, pairs of loss and accuracy, and the time since the last one, for so many images.

    Raises:
        DivergedError: if the mean loss is infinite or not a number.
    """
    loss, accuracy = session.fabric.all_reduce(torch.stack(results).mean(0)).tolist()  # mean over all processes
    speed = images / session.lap()  # only now has a GPU finished its queue
    if not loss < float("inf"):
        raise DivergedError(
            f"The loss became {loss} in step {session.step}. Start again with a learning rate well below "
            f"{session.recipe.learning_rate:g}."
        )
    return Event(
        split=split,
        step=session.step,
        epoch=session.step / session.steps_per_epoch,
        seconds=session.seconds,
        loss=loss,
        accuracy=accuracy,
        learning_rate=float(session.schedules[0].get_last_lr()[0]),
        images_per_second=speed,
        confusion=confusion,
    )


def confusion(logits: Tensor, labels: Tensor) -> Counts | None:
    """How often each true digit (row) was read as each digit (column); None for logits of other classes."""
    if logits.shape[1] != CLASSES:
        return None
    counts = torch.bincount(CLASSES * labels + logits.argmax(1), minlength=CLASSES**2)
    return tuple(map(tuple, counts.view(CLASSES, CLASSES).tolist()))


def _is_late(session: Session) -> bool:
    """Whether EVENT_SECONDS have passed without an event. Several processes must agree, so they count steps only."""
    return session.fabric.world_size == 1 and session.seconds_since_event() > EVENT_SECONDS


def _seed_step(session: Session) -> None:
    """Give each of several processes its own augmentation.

    The seed follows from the step, because a resume restores the first process's random state only.
    """
    recipe, fabric = session.recipe, session.fabric
    if fabric.world_size > 1:
        torch.manual_seed(recipe.seed * 1_000_003 + session.step * fabric.world_size + fabric.global_rank)
