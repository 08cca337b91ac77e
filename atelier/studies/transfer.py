"""Transfer: is fine-tuning fast and accurate, as the lab report says, and what is pretraining worth?

VGG16 and AlexNet begin with convolutions that have learnt to see on letters (glyphs) or photographs (imagenet), or that
have learnt nothing (none), and get a new head. Then more or less of them learns to read digits:

    all frozen        the head alone
    last block free   the head and the convolutions after the last pooling but one, three in both networks
    all free          everything

The same for all: 5,000 of the 55,000 training digits in 4 passes, batches of 50, else the network's own recipe. Only
where all is free, the learning rate is a tenth: large steps would wipe out what was learnt before. Frozen layers see
two varied copies of each digit, once, and this counts as training time; where all is free, each digit is varied anew in
each pass. Accuracy is that on 5,000 of the 10,000 test digits; nothing is chosen on them.

The quick version has 600 training digits, 1,000 test digits and one seed instead of three.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.data import mnist
from atelier.figures import plotting, sweeps
from atelier.studies.study import SKIPPED, Findings, Point, Row, Study
from atelier.zoo import MODELS

NETWORKS = ("vgg16", "alexnet")
BACKBONES = {"glyphs": "letters", "imagenet": "photographs", "none": "random layers"}  # and what the pages call them
THAWED = {  # how many of the last convolutions are free
    "all frozen": {"vgg16": 0, "alexnet": 0},
    "last block free": {"vgg16": 3, "alexnet": 3},
    "all free": {"vgg16": 13, "alexnet": 5},
}
EPOCHS, BATCH, COPIES = 4, 50, 2
SMALLER = 0.1  # the learning rate where all is free, as a share of the recipe's
SYMBOLS = {"all frozen": "circle", "last block free": "square", "all free": "diamond"}
DASHES = {"glyphs": "solid", "imagenet": "dash", "none": "dot"}
SECONDS = [step * 10.0**power for power in range(-1, 5) for step in (1, 3)]  # on the figure's axis
GOOD_ENOUGH = 0.005  # so little below the best accuracy is as good: half a percentage point


def points(quick: bool) -> list[Point]:
    size, digits, seeds = (600, 1_000, 1) if quick else (5_000, 5_000, 3)
    return [
        {"network": network, "backbone": backbone, "freedom": freedom, "seed": seed, "size": size, "digits": digits}
        for seed, backbone, freedom, network in product(range(seeds), BACKBONES, THAWED, NETWORKS)
    ]


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.models import backbones
    from atelier.studies import trial

    network, backbone, freedom = point["network"], point["backbone"], point["freedom"]
    if backbone == "imagenet" and not backbones.is_here(network):
        nothing = dict.fromkeys(("accuracy", "seconds", "trained_parameters"), float("nan"))
        command = f"python -m atelier train {network} --backbone imagenet"
        note = f"{SKIPPED}torchvision's weights are not on this computer; “{command}” fetches them."
        yield point | nothing | {"note": note}
        return
    recipe = MODELS[network].presets["demo"]
    recipe = replace(
        recipe,
        epochs=EPOCHS,
        batch_size=BATCH,
        variations=COPIES,
        train_size=point["size"],
        learning_rate=recipe.learning_rate * (SMALLER if freedom == "all free" else 1),
        seed=point["seed"],
    )
    config = {"backbone": backbone, "thawed": THAWED[freedom][network]}
    classifier, seconds = yield from trial.train(network, config, recipe, device)
    images, labels = mnist.load("test")
    read = trial.stratified(labels, point["digits"])
    accuracy = yield from trial.accuracy(classifier, images[read], labels[read])
    trained = sum(weights.numel() for weights in classifier.network.parameters() if weights.requires_grad)
    yield point | {"accuracy": accuracy, "seconds": seconds, "trained_parameters": trained, "note": ""}


# What the numbers say ------------------------------------------------------------------------------------------------


def findings(table: pd.DataFrame) -> Findings:
    if not (table.backbone.isin(BACKBONES) & table.freedom.isin(THAWED)).all():
        raise ValueError("an unknown backbone or freedom")
    measured = table.dropna(subset=["accuracy"])
    pretrained = measured[measured.backbone != "none"]
    right, enough = the_freedom(measured if pretrained.empty else pretrained)
    return Findings(right, (enough, the_pretraining(measured)))


def the_freedom(measured: pd.DataFrame) -> tuple[int | None, str]:
    """The right answer, and the sentence on how much should learn."""
    means = by_freedom(measured)
    if means.empty:
        return None, "Nothing has been measured yet that can be compared."
    told = {
        freedom: f"{sweeps.percent(mean.accuracy)} after {mean.seconds:,.0f} s" for freedom, mean in means.iterrows()
    }
    enough = fastest(means)
    sentence = f"The fastest way to within half a point of the best is “{enough}”, {told.pop(enough)} on average"
    others = [f"“{freedom}” reads {numbers}" for freedom, numbers in told.items()]
    return list(THAWED).index(enough), f"{'; '.join([sentence, *others])}."


def by_freedom(measured: pd.DataFrame) -> pd.DataFrame:
    """The mean `accuracy` and `seconds` of both networks, a row a freedom; empty if no trial was made with each."""
    complete = side_by_side(measured, "freedom", ["network", "backbone", "seed"])
    return pd.DataFrame() if complete.empty else complete.mean().unstack(0)


def fastest(means: pd.DataFrame) -> str:
    """The freedom that is as good as the best in the least time; `means` as `by_freedom` returns them."""
    return means.seconds[means.accuracy >= means.accuracy.max() - GOOD_ENOUGH].idxmin()


def the_pretraining(measured: pd.DataFrame) -> str:
    """The sentence on what was learnt before."""
    told = []
    for source, gains in gains_by_source(measured).items():
        worth = ", ".join(f"{100 * gains[freedom]:+.1f} if {freedom}" for freedom in THAWED if freedom in gains)
        told.append(f"having learnt to see on {BACKBONES[source]} is worth, in percentage points, {worth}")
    sentence = "; ".join(told) or "pretrained and random layers have not both been measured"
    return f"{sentence[0].upper()}{sentence[1:]}."


def gains_by_source(measured: pd.DataFrame) -> dict[str, pd.Series]:
    """What having learnt on a backbone adds to the accuracy of random layers, by freedom; of the backbones that were
    measured with both."""
    gains = {}
    for source in ("glyphs", "imagenet"):
        both = measured[measured.backbone.isin([source, "none"])]
        complete = side_by_side(both, "backbone", ["network", "freedom", "seed"])
        if both.backbone.nunique() == 2 and not complete.empty:
            means = complete.accuracy.groupby("freedom").mean()
            gains[source] = means[source] - means["none"]
    return gains


def side_by_side(measured: pd.DataFrame, what: str, index: list[str]) -> pd.DataFrame:
    """Accuracy and seconds, a column for each value of `what`; only the trials that were made with every value."""
    return measured.pivot_table(index=index, columns=what, values=["accuracy", "seconds"]).dropna()


def figure(table: pd.DataFrame) -> Figure:
    measured = table.dropna(subset=["accuracy"])
    lines = [
        line(network, backbone, trials)
        for (network, backbone), trials in measured.groupby(["network", "backbone"], sort=False)
    ]
    return plotting.figure(
        lines,
        "What is the best use of time?",
        "Up: more right · left: sooner · ● frozen ■ block ◆ free",
        xaxis=plotting.axis("seconds of training") | {"type": "log", "tickvals": SECONDS, "tickformat": "~g"},
        yaxis=sweeps.accuracy_axis(),
        showlegend=True,
        legend=sweeps.LEGEND,
    )


def line(network: str, backbone: str, trials: pd.DataFrame) -> Scatter:
    """From all frozen to all free."""
    freedoms = [freedom for freedom in THAWED if freedom in set(trials.freedom)]
    accuracies = trials.groupby("freedom").accuracy.agg(["mean", "min", "max", "count"]).loc[freedoms]
    spec = MODELS[network]
    return Scatter(
        x=trials.groupby("freedom").seconds.mean()[freedoms],
        y=sweeps.misread(accuracies["mean"]),
        error_y=sweeps.spread(accuracies),
        name=f"{spec.title}, {BACKBONES[backbone]}",
        mode="lines+markers",
        line={"color": spec.colour, "width": 3, "dash": DASHES[backbone]},
        marker={"size": 13, "symbol": [SYMBOLS[freedom] for freedom in freedoms]},
        text=freedoms,
        customdata=accuracies,
        hovertemplate=f"<b>{spec.title}</b> on {BACKBONES[backbone]}, %{{text}}:<br>%{{customdata[0]:.2%}} right after "
        "%{x:,.1f} s<br>worst seed %{customdata[1]:.2%}, best %{customdata[2]:.2%}<extra></extra>",
    )


STUDY = Study(
    name="transfer",
    title="Transfer",
    question="How much of a pretrained network should learn, to come within half a percentage point of the best "
    "accuracy in the least time?",
    answers=("Only its new head: all frozen", "The last block, too", "Everything: all free"),
    method="VGG16 and AlexNet learn from 5,000 digits (quick: 600), after their convolutions have learnt to see on "
    "letters, on photographs (ImageNet, left out where its weights are not at hand), or on nothing. Seconds are "
    "those of the digits alone.",
    columns=(
        "network",
        "backbone",
        "freedom",
        "seed",
        "size",
        "digits",
        "accuracy",
        "seconds",
        "trained_parameters",
        "note",
    ),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
    trains=True,
)
