"""Cost: what correct answers cost, in training and in answering, in seconds and in arithmetic.

The lab report calls CNNs simple and effective, fine-tuning fast and accurate, and Faster R-CNN overkill for one digit.
All three statements compare a benefit with its cost.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.figures import plotting
from atelier.studies.study import ACCURACY, NETWORK, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS

TIMED = 200  # answers
STEPS = 4  # training steps whose operations are counted
ANSWERS = {
    "under_3": "Less than 3 times as much",
    "3_to_30": "3 to 30 times as much",
    "over_30": "More than 30 times as much",
}
COSTS = {
    "training_seconds": "Training:<br>seconds",
    "training_multiply_adds": "Training:<br>arithmetic",
    "latency_p50_ms": "One answer:<br>milliseconds",
    "multiply_adds": "One answer:<br>arithmetic",
}
RATES = {  # the benefit per cost: its unit, and the factor from accuracy per cost
    "training_seconds": ("percentage points per second of training", 100),
    "training_multiply_adds": ("percentage points per 10¹² multiply-adds of training", 100e12),
    "latency_p50_ms": ("correct answers per second", 1_000),
    "multiply_adds": ("correct answers per 10⁹ multiply-adds", 1e9),
}


def points(quick: bool) -> list[Point]:
    """One point per network, quick or not: no training runs to its end here."""
    return [{"network": name} for name in MODELS]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    """The row of a network.

    `accuracy`, `training_seconds` and `training_device` are those of its checkpoint's card. `training_multiply_adds`
    counts all training steps and the frozen layers, without validation. The pretraining on letters is not counted.
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
    multiply_adds = int(layers(classifier).mult_adds.sum())
    yield None
    training_total = training_multiply_adds(card, device)
    yield {
        "accuracy": accuracy,
        "training_seconds": seconds,
        "training_device": card["device_name"],
        "training_multiply_adds": training_total,
        "latency_p50_ms": milliseconds,
        "multiply_adds": multiply_adds,
        "accuracy_per_training_second": accuracy / seconds,
        "accuracy_per_training_multiply_add": accuracy / training_total,
        "accuracy_per_answer_second": 1000 * accuracy / milliseconds,
        "accuracy_per_multiply_add": accuracy / multiply_adds,
    }


def training_multiply_adds(card: dict[str, Any], device: str) -> int:
    """The multiply-adds that the training of a checkpoint took, extrapolated from STEPS steps and one frozen forward.

    Args:
        card: the checkpoint's card.
        device: "cpu", "cuda" or "mps".
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
    return (steps * counter.get_total_flops() // STEPS + copies * frozen) // 2  # two operations: a product and a sum


def findings(table: pd.DataFrame) -> Findings:
    """The cost of the most expensive network compared with the cheapest, in answering and in training."""
    low, high = ends(table, "multiply_adds")
    ratio = high.multiply_adds / low.multiply_adds
    if low.network == high.network:
        return Findings(None, ("Only one network has been measured yet.",))
    answer = "under_3" if ratio < 3 else "3_to_30" if ratio <= 30 else "over_30"
    sentences = [
        f"For one digit, the {title(high)} does {ratio:.3g} times the arithmetic of the {title(low)}.",
        f"The {title(high)} reads {high.accuracy:.2%} of the digits correctly, the {title(low)} {low.accuracy:.2%}.",
    ]
    comparable, _ = trained_alike(table)
    if len(comparable) < 2:
        sentences.append("The training times come from different devices and cannot be compared.")
    else:
        low, high = ends(comparable, "training_seconds")
        times = high.training_seconds / low.training_seconds
        sentences.append(
            f"The training of the {title(high)} took {times:.3g} times as long as that of the {title(low)}."
        )
    return Findings(answer, tuple(sentences))


def title(row: pd.Series) -> str:
    return MODELS[row.network].title


def trained_alike(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of the most common training device, and that device: only their training times can be compared."""
    device = table.training_device.mode()[0]
    return table[table.training_device == device], device


def rate(row: pd.Series, cost: str) -> str:
    """The benefit of a network per cost, with its unit."""
    unit, factor = RATES[cost]
    return f"{factor * row.accuracy / row[cost]:,.3g} {unit}"


def ends(table: pd.DataFrame, cost: str) -> tuple[pd.Series, pd.Series]:
    """The rows with the lowest and the highest cost."""
    return table.loc[table[cost].idxmin()], table.loc[table[cost].idxmax()]


def figure(table: pd.DataFrame) -> Figure:
    """Each cost of a correct answer as a multiple of the cheapest network's cost."""
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
            hovertemplate="%{fullData.name}: %{text}<br>%{x:.3~g} times the lowest cost<extra></extra>",
        )
        for (_, row), network, accuracy in zip(table.iterrows(), table.network, table.accuracy, strict=True)
    ]
    subtitle = "Further right: more expensive, as a multiple of the cheapest"
    if len(comparable) < len(table):
        short = device.partition(" (")[0]  # without the name of the processor
        subtitle += f"<br>Training seconds: only of networks trained on {short}"
    return plotting.figure(
        dots,
        "What does a correct answer cost?",
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
    question="For one digit, how much more arithmetic does the most expensive network do than the cheapest?",
    choices=ANSWERS,
    method="Counted and timed with the ready-made networks. The pretraining on letters is not counted.",
    columns={
        "network": NETWORK,
        "accuracy": ACCURACY,
        "training_seconds": Column("Training, s", "positive", format="%.0f"),
        "training_device": Column("Trained on", "text"),
        "training_multiply_adds": Column("Multiply-adds of training", "positive", format="compact"),
        "latency_p50_ms": Column("Latency, ms", "positive", format="%.2f"),
        "multiply_adds": Column("Multiply-adds for one digit", "positive", format="compact"),
        "accuracy_per_training_second": Column("Accuracy per training second", "positive", format="scientific"),
        "accuracy_per_training_multiply_add": Column(
            "Accuracy per training multiply-add", "positive", format="scientific"
        ),
        "accuracy_per_answer_second": Column("Correct answers per second", "positive", format="%.1f"),
        "accuracy_per_multiply_add": Column("Correct answers per multiply-add", "positive", format="scientific"),
    },
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
