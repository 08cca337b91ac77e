"""Leaderboard: the shipped networks, and runs of this computer, on the 10,000 test digits.

The question behind it is the first statement of the lab report: CNNs are simple and effective. Does a larger or more
elaborate network misread fewer digits?

The quick version reads 2,000 of the test digits, stratified by class, and stores no predictions.
"""

from collections.abc import Iterator
from html import escape

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.figures import plotting
from atelier.studies.study import NETWORK, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS

TIMED = 200  # answers
HERE = "where"  # column that pages add: speed and memory can only be compared where they were measured

COLUMNS = {
    "network": NETWORK,  # a name in MODELS or the id of a run
    "kind": Column("Kind", "text", choices=("shipped", "run")),
    "model": Column("Model", "text"),  # a name in MODELS
    "accuracy": Column(
        "Accuracy", "share", "Share of the 10,000 test digits read correctly.", "%.2f%%", best="highest"
    ),
    "wilson_low": Column("95% interval, low", "share", format="%.2f%%"),
    "wilson_high": Column("95% interval, high", "share", format="%.2f%%"),
    "macro_f1": Column(
        "Macro-F1",
        "share",
        "Precision and recall in one number: the mean over the ten digits.",
        "%.2f%%",
        best="highest",
    ),
    "log_loss": Column("Log loss", "number", "Cross-entropy: confident mistakes cost most.", "%.4f", best="lowest"),
    "calibration_error": Column(
        "Calibration error", "share", "Mean gap between confidence and accuracy.", "%.2f%%", best="lowest"
    ),
    "parameters": Column("Parameters", "positive", "All weights of the network.", best="lowest"),
    "trained_parameters": Column(
        "Trainable parameters", "number", "The weights that training changed. Frozen layers keep theirs.", best="lowest"
    ),
    "multiply_adds": Column("Multiply-adds", "positive", "Arithmetic for one digit.", "compact", best="lowest"),
    "megabytes": Column("Size, MB", "positive", "The stored weights, with their backbone.", "%.1f", best="lowest"),
    "training_seconds": Column(
        "Training, s",
        "number",
        "Training on digits. The pretraining on letters is not counted.",
        "%.0f",
        best="lowest",
        same="training_device",
        optional=True,
    ),
    "training_device": Column("Trained on", "text", "Times can only be compared on the same device."),
    "latency_p50_ms": Column(
        "Latency p50, ms", "positive", "Half of the single digits are read faster.", "%.1f", best="lowest", same=HERE
    ),
    "latency_p95_ms": Column(
        "Latency p95, ms", "positive", "95% of the single digits are read faster.", "%.1f", best="lowest", same=HERE
    ),
    "throughput_per_second": Column(
        "Digits per second", "positive", "Throughput on large batches.", "%.0f", best="highest", same=HERE
    ),
    "peak_memory_mb": Column(
        "Memory, MB",
        "positive",
        "Peak memory of the process, with Python and PyTorch.",
        "%.0f",
        best="lowest",
        same=HERE,
        optional=True,
    ),
}


def points(quick: bool) -> list[Point]:
    """One point per network. Only quick points have `digits`; the others read all test digits."""
    subset = {"digits": 2_000} if quick else {}
    return [{"network": name, **subset} for name in MODELS]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    """The row of a network, with the values of COLUMNS.

    Unless it is quick, the row has two arrays: `guess`, `uint8[10000]`, the most probable class of each test digit, and
    `confidence`, `float16[10000]`, its probability.
    """
    import numpy as np

    import atelier
    from atelier.bench.speed import answer_times, peak_memory, predict_in_batches
    from atelier.classifier import find_checkpoint
    from atelier.data import mnist
    from atelier.evaluation.calibration import calibration_error
    from atelier.evaluation.metrics import classification_metrics
    from atelier.evaluation.significance import wilson
    from atelier.explain.architecture import layers
    from atelier.studies import trial

    name = str(point["network"])
    classifier, file = atelier.load(name, device), find_checkpoint(name)
    yield None
    times = answer_times(classifier, TIMED)
    yield None
    images, labels = mnist.load("test")
    if quick := "digits" in point:
        subset = trial.stratified(labels, point["digits"])
        images, labels = images[subset], labels[subset]
    batches, seconds = [], 0.0
    for batch, batch_seconds in predict_in_batches(classifier, images):
        batches.append(batch)
        seconds += batch_seconds
        yield None
    probabilities = np.concatenate(batches)
    guess, confidence = probabilities.argmax(1), probabilities.max(1)
    metrics = classification_metrics(probabilities, labels)
    low, high = wilson(int(np.sum(guess == labels)), len(labels))
    network, card = classifier.network, classifier.card
    weights = {part: parameter.numel() for part, parameter in network.named_parameters()}
    borrowed = network.borrowed() if hasattr(network, "borrowed") else set()
    multiply_adds = int(layers(classifier).mult_adds.sum())
    yield None
    yield {
        "kind": "shipped" if name in MODELS else "run",
        "model": classifier.spec.name,
        "accuracy": metrics["accuracy"],
        "wilson_low": low,
        "wilson_high": high,
        "macro_f1": metrics["macro_f1"],
        "log_loss": metrics["loss"],
        "calibration_error": calibration_error(confidence, guess == labels),
        "parameters": sum(weights.values()),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "multiply_adds": multiply_adds,
        "megabytes": (file.stat().st_size + 2 * sum(weights[part] for part in borrowed)) / 1e6,  # borrowed: 16 bits
        "training_seconds": float(card.get("seconds", "nan")),
        "training_device": str(card.get("device_name", "")),
        "latency_p50_ms": float(np.percentile(times, 50)),
        "latency_p95_ms": float(np.percentile(times, 95)),
        "throughput_per_second": len(labels) / seconds,
        "peak_memory_mb": peak_memory(file, device),
    } | ({} if quick else {"guess": guess.astype(np.uint8), "confidence": confidence.astype(np.float16)})


def findings(table: pd.DataFrame) -> Findings:
    """The network that misreads the fewest digits, and the largest network beside it."""
    best = table.loc[table.accuracy.idxmax()]
    largest = table.loc[table.parameters.idxmax()]
    first = f"The {title(best)} misreads the fewest test digits: {1 - best.accuracy:.2%}."
    times = largest.parameters / best.parameters
    second = (
        "It is also the largest network here."
        if best.network == largest.network
        else f"The {title(largest)} has {times:.3g} times as many parameters and misreads {1 - largest.accuracy:.2%}."
    )
    return Findings(best.model if len(table) > 1 else None, (first, second))


def title(row: pd.Series) -> str:
    """The name of a row's network: the one in its column `title`, which pages add, or a default."""
    if "title" in row:
        return row.title
    model = MODELS[row.model].title
    return model if row.kind == "shipped" else f"{model} of run {row.network}"


def figure(table: pd.DataFrame) -> Figure:
    dots = [
        Scatter(
            x=[row.accuracy],
            y=[row.network],
            error_x={
                "array": [row.wilson_high - row.accuracy],
                "arrayminus": [row.accuracy - row.wilson_low],
                "symmetric": False,
            },
            mode="markers",
            marker={"color": MODELS[row.model].colour, "size": 14},
            hovertemplate=f"{escape(title(row))}: %{{x:.2%}}<extra></extra>",
        )
        for _, row in table.iterrows()
    ]
    names = [escape(title(row)) for _, row in table.iterrows()]
    return plotting.figure(
        dots,
        "Which network is the most accurate?",
        "Dot: accuracy · line: 95% interval",
        xaxis=plotting.axis() | {"tickformat": ".2~%", "nticks": 4},
        yaxis=plotting.axis() | {"autorange": "reversed", "tickvals": list(table.network), "ticktext": names},
    )


STUDY = Study(
    name="leaderboard",
    title="Leaderboard",
    question="Which network misreads the fewest of 10,000 test digits?",
    method="Each network reads all 10,000 test digits (quick: 2,000). None of them was used in training.",
    columns=COLUMNS,
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
