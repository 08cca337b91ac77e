"""Transfer: is fine-tuning fast and accurate, and how much does pretraining add?

Each fine-tuned network begins with convolutions that are pretrained on letters (glyphs) or photographs (imagenet), or
have random weights (none), and gets a new head. Then more or less of it is trained on digits:

    all frozen        the head alone
    last block free   the head and the convolutions after the last pooling layer but one
    all free          everything

The same for all: 5,000 of the 55,000 training digits in 4 epochs, batches of 50, otherwise the network's own recipe.
Where everything is trained, the learning rate is a tenth: large steps would destroy the pretrained weights. Frozen
layers compute the features of two augmented copies of each digit once, and this counts as training time; where
everything is trained, each epoch augments each digit again. The accuracy is that on 5,000 of the 10,000 test digits;
nothing is chosen on them.

The quick version has 600 training digits, 1,000 test digits and one seed instead of three.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.data import mnist
from atelier.figures import plotting, sweeps
from atelier.studies.study import ACCURACY, DIGITS, NETWORK, SECONDS, SEED, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS, Family, of_family

BACKBONES = {"glyphs": "letters", "imagenet": "photographs", "none": "random weights"}
FREEDOMS = {  # label and marker of each
    "all frozen": ("All layers frozen", "circle"),
    "last block free": ("Last block trained", "square"),
    "all free": ("All layers trained", "diamond"),
}
FROZEN, BLOCK, FREE = FREEDOMS
EPOCHS, BATCH, COPIES = 4, 50, 2
SMALLER = 0.1  # the learning rate where everything is trained, as a share of the recipe's
DASHES = {"glyphs": "solid", "imagenet": "dash", "none": "dot"}
SECONDS_TICKS = [step * 10.0**power for power in range(-1, 5) for step in (1, 3)]
GOOD_ENOUGH = 0.005  # accuracy: within half a percentage point of the best


def points(quick: bool) -> list[Point]:
    size, digits, seeds = (600, 1_000, 1) if quick else (5_000, 5_000, 3)
    return [
        {"network": network, "backbone": backbone, "freedom": freedom, "seed": seed, "size": size, "digits": digits}
        for seed, backbone, freedom, network in product(range(seeds), BACKBONES, FREEDOMS, of_family(Family.FINE_TUNED))
    ]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.models import backbones
    from atelier.studies import trial

    network, backbone, freedom = point["network"], point["backbone"], point["freedom"]
    if backbone == "imagenet" and not backbones.is_here(network):
        nothing = dict.fromkeys(("accuracy", "seconds", "trained_parameters"), float("nan"))
        command = f"python -m atelier train {network} --backbone imagenet"
        note = f"The ImageNet weights are not on this computer. “{command}” downloads them."
        yield point | nothing | {"note": note}
        return
    recipe = MODELS[network].presets["demo"]
    recipe = replace(
        recipe,
        epochs=EPOCHS,
        batch_size=BATCH,
        variations=COPIES,
        train_size=point["size"],
        learning_rate=recipe.learning_rate * (SMALLER if freedom == FREE else 1),
        seed=point["seed"],
    )
    config = {"backbone": backbone, "thawed": thawed(network, freedom)}
    classifier, seconds = yield from trial.train(network, config, recipe, device)
    images, labels = mnist.load("test")
    subset = trial.stratified(labels, point["digits"])
    accuracy = yield from trial.accuracy(classifier, images[subset], labels[subset])
    trained = sum(weights.numel() for weights in classifier.network.parameters() if weights.requires_grad)
    yield point | {"accuracy": accuracy, "seconds": seconds, "trained_parameters": trained, "note": ""}


def thawed(network: str, freedom: str) -> int:
    """The number of convolutions that are trained, counted from the last."""
    from torch import nn

    features = MODELS[network].build({"backbone": "none"}).features
    pools = [place for place, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    convolutions = [place for place, layer in enumerate(features) if isinstance(layer, nn.Conv2d)]
    first = {FROZEN: len(features), BLOCK: pools[-2], FREE: 0}[freedom]
    return sum(place >= first for place in convolutions)


# Findings ------------------------------------------------------------------------------------------------------------


def findings(table: pd.DataFrame) -> Findings:
    measured = table.dropna(subset=["accuracy"])
    pretrained = measured[measured.backbone != "none"]
    means = by_freedom(measured if pretrained.empty else pretrained)
    gains = gains_by_source(measured)
    facts: dict[str, Any] = {"gains": {source: gain.to_dict() for source, gain in gains.items()}}
    if means.empty:
        return Findings(None, facts, ("Nothing that can be compared has been measured yet.",))
    fastest_freedom = fastest(means)
    facts |= {"accuracy": means.accuracy.to_dict(), "seconds": means.seconds.to_dict()}
    sentences = [
        "Within half a percentage point of the best accuracy, the fastest option is: " + label(fastest_freedom)
    ]
    sentences += [
        f"{label(freedom)}: {sweeps.percent(mean.accuracy)} accuracy after {mean.seconds:,.0f} s"
        for freedom, mean in means.iterrows()
    ]
    sentences += [
        f"With this option, pretraining on {BACKBONES[source]} adds {100 * gain[fastest_freedom]:.1f} percentage points"
        for source, gain in gains.items()
        if fastest_freedom in gain
    ]
    return Findings(fastest_freedom, facts, tuple(f"{sentence}." for sentence in sentences))


def label(freedom: str) -> str:
    return FREEDOMS[freedom][0]


def by_freedom(measured: pd.DataFrame) -> pd.DataFrame:
    """The mean `accuracy` and `seconds` of all networks by freedom; empty if no trial was made with each freedom."""
    complete = side_by_side(measured, "freedom", ["network", "backbone", "seed"])
    if complete.empty:
        return pd.DataFrame()
    means = complete.mean().unstack(0)
    return means.loc[[freedom for freedom in FREEDOMS if freedom in means.index]]


def fastest(means: pd.DataFrame) -> str:
    """The freedom that is as good as the best in the least time; `means` as `by_freedom` returns them."""
    return means.seconds[means.accuracy >= means.accuracy.max() - GOOD_ENOUGH].idxmin()


def gains_by_source(measured: pd.DataFrame) -> dict[str, pd.Series]:
    """The accuracy that a pretrained backbone adds to random weights, by backbone and freedom.

    Only backbones that were measured beside random weights are in it.
    """
    gains = {}
    for source in BACKBONES:
        both = measured[measured.backbone.isin([source, "none"])]
        complete = side_by_side(both, "backbone", ["network", "freedom", "seed"])
        if both.backbone.nunique() == 2 and not complete.empty:
            means = complete.accuracy.groupby("freedom").mean()
            gains[source] = means[source] - means["none"]
    return gains


def side_by_side(measured: pd.DataFrame, what: str, index: list[str]) -> pd.DataFrame:
    """Accuracy and seconds, a column for each value of `what`; only of trials that were made with every value."""
    return measured.pivot_table(index=index, columns=what, values=["accuracy", "seconds"]).dropna()


def figure(table: pd.DataFrame) -> Figure:
    measured = table.dropna(subset=["accuracy"])
    lines = [
        line(network, backbone, trials)
        for (network, backbone), trials in measured.groupby(["network", "backbone"], sort=False)
    ]
    return plotting.figure(
        lines,
        "What is the best use of training time?",
        "Best: top left · ● frozen ■ last block ◆ all trained",
        xaxis=plotting.axis("seconds of training") | {"type": "log", "tickvals": SECONDS_TICKS, "tickformat": "~g"},
        yaxis=sweeps.accuracy_axis(),
        showlegend=True,
        legend=sweeps.LEGEND,
    )


def line(network: str, backbone: str, trials: pd.DataFrame) -> Scatter:
    """The line of a network and backbone, from all frozen to all free."""
    freedoms = [freedom for freedom in FREEDOMS if freedom in set(trials.freedom)]
    accuracies = trials.groupby("freedom").accuracy.agg(["mean", "min", "max", "count"]).loc[freedoms]
    spec = MODELS[network]
    return Scatter(
        x=trials.groupby("freedom").seconds.mean()[freedoms],
        y=sweeps.error_rate(accuracies["mean"]),
        error_y=sweeps.spread(accuracies),
        name=f"{spec.title}, {BACKBONES[backbone]}",
        mode="lines+markers",
        line={"color": spec.colour, "width": 3, "dash": DASHES[backbone]},
        marker={"size": 13, "symbol": [FREEDOMS[freedom][1] for freedom in freedoms]},
        text=[label(freedom) for freedom in freedoms],
        customdata=accuracies,
        hovertemplate=f"<b>{spec.title}, {BACKBONES[backbone]}</b><br>%{{text}}: %{{customdata[0]:.2%}} accuracy after "
        "%{x:,.1f} s<br>worst seed %{customdata[1]:.2%}, best %{customdata[2]:.2%}<extra></extra>",
    )


STUDY = Study(
    name="transfer",
    title="Transfer",
    question="How much of a pretrained network should be trained?",
    choices={FROZEN: "Only the new head", BLOCK: "The head and the last block", FREE: "All layers"},
    method="We look for the shortest training within half a percentage point of the best accuracy. The networks "
    "train on 5,000 digits (quick: 600). Their convolutions are pretrained on letters or on photographs, or start with "
    "random weights. Only the training on digits counts as time.",
    columns={
        "network": NETWORK,
        "backbone": Column("Pretrained on", "text", choices=tuple(BACKBONES)),
        "freedom": Column("Trained part", "text", choices=tuple(FREEDOMS)),
        "seed": SEED,
        "size": Column("Training digits", "positive"),
        "digits": DIGITS,
        "accuracy": ACCURACY,
        "seconds": SECONDS,
        "trained_parameters": Column("Trainable parameters", "positive"),
        "note": Column("Not measured because", "text"),
    },
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
    trains=True,
)
