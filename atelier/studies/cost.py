"""Cost: what right answers cost, in training and in answering, in seconds and in arithmetic.

The lab report calls CNNs simple and effective, fine-tuning fast and accurate, and Faster R-CNN overkill for one digit.
All three are about what one gets for what one pays.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.figures import plotting
from atelier.studies.study import Findings, Point, Row, Study
from atelier.zoo import MODELS

TIMED = 200  # answers
STEPS = 4  # of training that are counted
ANSWERS = ("Less than three times as much", "Three to thirty times as much", "More than thirty times as much")
COSTS = {
    "training_seconds": "Training:<br>seconds",
    "training_multiply_adds": "Training:<br>arithmetic",
    "latency_p50_ms": "One answer:<br>milliseconds",
    "multiply_adds": "One answer:<br>arithmetic",
}
RATES = {  # what a network gives for each cost: a unit, and how many of it are an accuracy of 1 for a cost of 1
    "training_seconds": ("percentage points a second of training", 100),
    "training_multiply_adds": ("percentage points per million million multiply-adds of training", 100e12),
    "latency_p50_ms": ("right answers a second", 1_000),
    "multiply_adds": ("right answers per thousand million multiply-adds", 1e9),
}


def points(quick: bool) -> list[Point]:
    """Quick or not, there is one point a network: nothing is trained to the end here."""
    return [{"network": name} for name in MODELS]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    """A network's row.

    Columns, beside `network`, its name in MODELS:
        accuracy: on the test digits, in 0..1, training_seconds, training_device: as its checkpoint says. What letters
            cost that a backbone learnt before is not counted.
        training_multiply_adds: of all training steps and of the frozen layers; of validation none.
        latency_p50_ms: from one digit to its answer, the median.
        multiply_adds: to read one digit, see `explain.architecture`.
        accuracy_per_training_second, accuracy_per_training_multiply_add: the accuracy divided by these.
        accuracy_per_answer_second, accuracy_per_multiply_add: right answers a second, one after the other, and right
            answers a multiply-add.
    """
    import statistics

    import atelier
    from atelier.bench.speed import answer_times
    from atelier.explain.architecture import layers

    classifier = atelier.load(str(point["network"]), device)
    yield None
    card = classifier.card
    accuracy, seconds = card["accuracy"], card["seconds"]
    milliseconds = statistics.median(answer_times(classifier, TIMED))
    work = int(layers(classifier).mult_adds.sum())
    yield None
    training_work = training_multiply_adds(card, device)
    yield {
        "accuracy": accuracy,
        "training_seconds": seconds,
        "training_device": card["device_name"],
        "training_multiply_adds": training_work,
        "latency_p50_ms": milliseconds,
        "multiply_adds": work,
        "accuracy_per_training_second": accuracy / seconds,
        "accuracy_per_training_multiply_add": accuracy / training_work,
        "accuracy_per_answer_second": 1000 * accuracy / milliseconds,
        "accuracy_per_multiply_add": accuracy / work,
    }


def training_multiply_adds(card: dict[str, Any], device: str) -> int:
    """How many multiply-adds the training of a checkpoint took, from those of STEPS steps, forth and back, and of what
    frozen layers make of a digit.

    Args:
        card: the checkpoint's.
    """
    import json
    from dataclasses import replace

    from torch.utils.flop_counter import FlopCounterMode

    from atelier.bench.estimate import count_operations
    from atelier.devices import pick_device
    from atelier.runs.folder import read_recipe
    from atelier.training.loop import train_epoch
    from atelier.training.setup import new_session, new_task, to_device

    recipe = read_recipe(card)
    few = replace(recipe, train_size=STEPS * recipe.batch_size, epochs=1, precision="32-true")
    session = new_session(card["model"], few, pick_device(device), card["config"])
    training = to_device("train", session.fabric.device, few.train_size)
    task = new_task(card["model"], session, training, (training[0][:1], training[1][:1]))
    for _ in task.start_epoch(0):
        pass
    with FlopCounterMode(display=False) as counter:
        for _ in train_epoch(session, task):
            pass
    steps = recipe.epochs * (recipe.train_size // recipe.batch_size)
    frozen, _ = count_operations(card["model"], json.dumps(card["config"], sort_keys=True))
    copies = min(recipe.epochs, recipe.variations) * recipe.train_size
    return (steps * counter.get_total_flops() // STEPS + copies * frozen) // 2  # an operation each: times, plus


def findings(table: pd.DataFrame) -> Findings:
    """How much more the costliest network costs than the cheapest, in answering and in training."""
    if (table[list(COSTS)] <= 0).any(axis=None):
        raise ValueError("nothing costs nothing")
    low, high = _ends(table, "multiply_adds")
    ratio = high.multiply_adds / low.multiply_adds
    right = 0 if ratio < 3 else 1 if ratio <= 30 else 2
    if low.network == high.network:
        title = MODELS[low.network].title
        first = f"The {title} needs {low.multiply_adds:,.0f} multiply-adds to read a digit."
        return Findings(None, (first, f"It was trained in {low.training_seconds:,.0f} s and reads {low.accuracy:.2%}."))
    first = (
        f"To read one digit, the {MODELS[high.network].title} does {ratio:.3g} times the arithmetic of the "
        f"{MODELS[low.network].title}, and reads {high.accuracy:.2%} right instead of {low.accuracy:.2%}: "
        f"{rate(high, 'multiply_adds')} instead of {_number(low, 'multiply_adds')}."
    )
    comparable, device = trained_alike(table)
    low, high = _ends(comparable, "training_seconds")
    second = (
        f"On {device}, the {MODELS[high.network].title} trained {high.training_seconds:,.0f} s for "
        f"{high.accuracy:.2%} and the {MODELS[low.network].title} {low.training_seconds:,.0f} s for "
        f"{low.accuracy:.2%}: {rate(high, 'training_seconds')} instead of {_number(low, 'training_seconds')}."
    )
    if len(comparable) < 2:
        second = "No two of these networks were trained on the same device, so their seconds cannot be compared."
    return Findings(right, (first, second))


def trained_alike(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows whose networks were trained on the device on which most were, and that device: only their seconds can be
    compared."""
    device = table.training_device.mode()[0]
    return table[table.training_device == device], device


def rate(row: pd.Series, cost: str) -> str:
    """What a network gives for a cost, in words."""
    return f"{_number(row, cost)} {RATES[cost][0]}"


def _number(row: pd.Series, cost: str) -> str:
    return f"{RATES[cost][1] * row.accuracy / row[cost]:,.3g}"


def _ends(table: pd.DataFrame, cost: str) -> tuple[pd.Series, pd.Series]:
    return table.iloc[table[cost].argmin()], table.iloc[table[cost].argmax()]


def figure(table: pd.DataFrame) -> Figure:
    """Each cost of a right answer as a multiple of the cheapest network's, and what one gets for it."""
    comparable, device = trained_alike(table)
    costs = table.set_index("network")[list(COSTS)]
    costs["training_seconds"] = comparable.set_index("network").training_seconds  # NaN for the others
    costs = costs.div(table.set_index("network").accuracy, axis=0)
    multiples = costs / costs.min()
    dots = [
        Scatter(
            x=multiples.loc[network],
            y=list(COSTS.values()),
            name=f"{MODELS[network].title} {accuracy:.2%}",
            mode="markers",
            marker={"color": MODELS[network].colour, "size": 16, "opacity": 0.85},
            text=[rate(row, cost) for cost in COSTS],
            hovertemplate="%{fullData.name}: %{text}<br>%{x:.3~g} times the cheapest<extra></extra>",
        )
        for (_, row), network, accuracy in zip(table.iterrows(), table.network, table.accuracy, strict=True)
    ]
    subtitle = "Further right: costs more, times the cheapest"
    if len(comparable) < len(table):
        subtitle += f"<br>Training seconds: those trained on {device.partition(' (')[0]}"  # without its model: short
    return plotting.figure(
        dots,
        "What does a right answer cost?",
        subtitle,
        xaxis=plotting.axis() | {"type": "log", "tickformat": "~s", "ticksuffix": " ×", "dtick": 1},
        yaxis=plotting.axis() | {"autorange": "reversed"},
        margin={"l": 8, "r": 8, "t": 94, "b": 8},
        height=440,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    )


STUDY = Study(
    name="cost",
    title="Cost",
    question="To read one digit, how much more arithmetic does the costliest network do than the cheapest?",
    answers=ANSWERS,
    method="Counted and timed for the shipped networks. What a backbone has learnt on letters before is not counted.",
    columns=(
        "network",
        "accuracy",
        "training_seconds",
        "training_device",
        "training_multiply_adds",
        "latency_p50_ms",
        "multiply_adds",
        "accuracy_per_training_second",
        "accuracy_per_training_multiply_add",
        "accuracy_per_answer_second",
        "accuracy_per_multiply_add",
    ),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
