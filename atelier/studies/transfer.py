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

import pandas as pd
from plotly.graph_objects import Figure

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
    row, classifier = yield from trial.train_and_test(network, config, recipe, device, point["digits"])
    trained = sum(weights.numel() for weights in classifier.network.parameters() if weights.requires_grad)
    yield point | row | {"trained_parameters": trained, "note": ""}


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
    if means.empty:
        return Findings(None, ("Nothing that can be compared has been measured yet.",))
    best = fastest(means)
    sentences = [f"Within half a percentage point of the best accuracy, the fastest option is: {FREEDOMS[best][0]}"]
    sentences += [
        f"{FREEDOMS[freedom][0]}: {sweeps.percent(mean.accuracy)} accuracy after {mean.seconds:,.0f} s"
        for freedom, mean in means.iterrows()
    ]
    sentences += [
        f"With this option, pretraining on {BACKBONES[source]} adds {100 * gain[best]:.1f} percentage points"
        for source, gain in gains_by_source(measured).items()
        if best in gain
    ]
    return Findings(best, tuple(f"{sentence}." for sentence in sentences))


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
    """A line for each network and backbone, from all frozen to all free."""
    lines = []
    measured = table.dropna(subset=["accuracy"])
    for (network, backbone), trials in measured.groupby(["network", "backbone"], sort=False):
        freedoms = [freedom for freedom in FREEDOMS if freedom in set(trials.freedom)]
        labels, symbols = zip(*(FREEDOMS[freedom] for freedom in freedoms), strict=True)
        by_freedom = trials.groupby("freedom")
        lines.append(
            sweeps.accuracy_line(
                network,
                by_freedom.seconds.mean()[freedoms],
                by_freedom.accuracy.agg(["mean", "min", "max", "count"]).loc[freedoms],
                "%{text} in %{x:,.1f} s",
                name=f"{MODELS[network].title}, {BACKBONES[backbone]}",
                legendgroup=f"{network} {backbone}",
                line_dash=DASHES[backbone],
                marker={"size": 13, "symbol": symbols},
                text=labels,
            )
        )
    return sweeps.accuracy_figure(
        lines,
        "What is the best use of training time?",
        "Best: top left · ● frozen ■ last block ◆ all trained",
        plotting.axis("seconds of training") | {"tickvals": SECONDS_TICKS, "tickformat": "~g"},
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
