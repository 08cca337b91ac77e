"""Leaderboard: the five shipped networks, and runs of one's own, on the 10,000 test digits.

The question behind it is the lab report's first sentence: CNNs are simple and effective. Does a larger network, or a
cleverer one, misread fewer digits?

The quick version reads 2,000 of the test digits, each class in its share, and keeps no answers.
"""

from collections.abc import Iterator

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.figures import plotting
from atelier.studies.study import Findings, Point, Row, Study
from atelier.zoo import MODELS

TIMED = 200  # answers


def points(quick: bool) -> list[Point]:
    """One a network. Without `digits`, which only quick ones have, it takes all test digits."""
    few = {"digits": 2_000} if quick else {}
    return [{"network": name, **few} for name in MODELS]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    """A network's row.

    Columns, beside `network`, its name in MODELS or a run's id:
        kind: "shipped" or "run".
        model: its name in MODELS.
        accuracy, and between which numbers the true one lies, wilson_low and wilson_high; macro_f1: in 0..1.
        log_loss: mean cross-entropy, in nats.
        calibration_error: the expected one, in 0..1, see `evaluation.calibration`.
        parameters, trained_parameters: weights, and how many of them training changed.
        multiply_adds: to read one digit, see `explain.architecture`.
        megabytes: of the checkpoint, and of the pretrained layers that it borrows, in half precision.
        training_seconds, training_device: as its checkpoint says; letters that it learnt before are not counted.
        latency_p50_ms, latency_p95_ms: from one digit to its answer, half and 95% of TIMED were faster.
        throughput_per_second: digits, read many at once.
        peak_memory_mb: see `evaluation.speed.peak_memory`.
    Arrays, unless it is quick:
        guess: `uint8[10000]`, the most probable digit of each test digit.
        confidence: `float16[10000]`, its probability.
    """
    import numpy as np

    import atelier
    from atelier.bench.speed import answer_times, peak_memory, read_many
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
        read = trial.stratified(labels, point["digits"])
        images, labels = images[read], labels[read]
    batches, seconds = [], 0.0
    for batch, taken in read_many(classifier, images):
        batches.append(batch)
        seconds += taken
        yield None
    probabilities = np.concatenate(batches)
    guess, confidence = probabilities.argmax(1), probabilities.max(1)
    metrics = classification_metrics(probabilities, labels)
    low, high = wilson(int(np.sum(guess == labels)), len(labels))
    network, card = classifier.network, classifier.card
    weights = {part: parameter.numel() for part, parameter in network.named_parameters()}
    borrowed = network.borrowed() if hasattr(network, "borrowed") else set()
    work = int(layers(classifier).mult_adds.sum())
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
        "multiply_adds": work,
        "megabytes": (file.stat().st_size + 2 * sum(weights[part] for part in borrowed)) / 1e6,
        "training_seconds": float(card.get("seconds", "nan")),
        "training_device": str(card.get("device_name", "")),
        "latency_p50_ms": float(np.percentile(times, 50)),
        "latency_p95_ms": float(np.percentile(times, 95)),
        "throughput_per_second": len(labels) / seconds,
        "peak_memory_mb": peak_memory(file, device),
    } | ({} if quick else {"guess": guess.astype(np.uint8), "confidence": confidence.astype(np.float16)})


def findings(table: pd.DataFrame) -> Findings:
    """Who misreads the fewest digits, and how the largest network does beside it."""
    best = table.iloc[table.accuracy.argmax()]
    largest = table.iloc[table.parameters.argmax()]
    first = f"The {title(best)} misreads the fewest test digits: {1 - best.accuracy:.2%}."
    if best.network == largest.network:
        second = f"It is also the largest here, with {int(largest.parameters):,} weights."
    else:
        times = largest.parameters / best.parameters
        second = f"The {title(largest)} has {times:.3g} times as many weights and misreads {1 - largest.accuracy:.2%}."
    return Findings(list(MODELS).index(best.model) if len(table) > 1 else None, (first, second))


def title(row: pd.Series) -> str:
    """What a person calls the network of a row."""
    own = MODELS[row.model].title
    return own if row.kind == "shipped" else f"{own} of run {row.network}"


def figure(table: pd.DataFrame) -> Figure:
    dots = [
        Scatter(
            x=[row.accuracy],
            y=[title(row)],
            error_x={
                "array": [row.wilson_high - row.accuracy],
                "arrayminus": [row.accuracy - row.wilson_low],
                "symmetric": False,
            },
            mode="markers",
            marker={"color": MODELS[row.model].colour, "size": 14},
            hovertemplate="%{y}: %{x:.2%} right<extra></extra>",
        )
        for _, row in table.iterrows()
    ]
    return plotting.figure(
        dots,
        "Who reads the most digits right?",
        "Dot: share of the test digits · line: 95% interval",
        xaxis=plotting.axis() | {"tickformat": ".2~%", "nticks": 4},
        yaxis=plotting.axis() | {"autorange": "reversed"},
    )


STUDY = Study(
    name="leaderboard",
    title="Leaderboard",
    question="Which network misreads the fewest of 10,000 test digits?",
    answers=tuple(spec.title for spec in MODELS.values()),
    method="Each network reads all 10,000 test digits (quick: 2,000), which it has never seen in training.",
    columns=(
        "network",
        "kind",
        "model",
        "accuracy",
        "wilson_low",
        "wilson_high",
        "macro_f1",
        "log_loss",
        "calibration_error",
        "parameters",
        "trained_parameters",
        "multiply_adds",
        "megabytes",
        "training_seconds",
        "training_device",
        "latency_p50_ms",
        "latency_p95_ms",
        "throughput_per_second",
        "peak_memory_mb",
    ),
    unknown=("training_seconds", "peak_memory_mb"),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
)
