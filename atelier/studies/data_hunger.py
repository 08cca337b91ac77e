"""Data hunger: how well each network reads after learning from 100 digits, and after 55,000.

The lab report says that Vision Transformers need more data than CNNs: nothing in them knows that neighbouring pixels
belong together, so they have to learn it (Dosovitskiy et al. 2020, arXiv:2010.11929).

One rule for all five: each network learns by its own recipe, in its full version, but takes about a tenth of the steps:
so the sixty trainings end within two hours on two cores. It takes these steps whatever the size, and so passes often
over few digits, dozens or hundreds of times over 100 of them, and once or twice over all 55,000. A batch holds
all digits where there are fewer than its size. The digits are drawn anew for each seed, each class in its share, and
are the same for all five. What is read then are 5,000 test digits; nothing is chosen on them.

The quick version takes a quarter of the demo recipes' steps: three sizes, one seed, 2,000 test digits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.data import mnist
from atelier.figures import plotting, sweeps
from atelier.recipe import Recipe
from atelier.studies.study import Findings, Point, Row, Study
from atelier.zoo import MODELS


@dataclass(frozen=True)
class Plan:
    preset: str  # of the recipes
    sizes: tuple[int, ...]  # training digits
    seeds: int
    share: float  # of the recipe's steps
    digits: int  # test digits


WHOLE = Plan("full", sizes=(100, 1_000, 10_000, 55_000), seeds=3, share=1 / 10, digits=5_000)
QUICK = Plan("demo", sizes=(100, 600, 3_000), seeds=1, share=1 / 4, digits=2_000)


def points(quick: bool) -> list[Point]:
    plan = QUICK if quick else WHOLE
    return [
        {
            "network": network,
            "size": size,
            "seed": seed,
            "preset": plan.preset,
            "epochs": epochs(spec.presets[plan.preset], size, plan.share),
            "digits": plan.digits,
        }
        for seed in range(plan.seeds)
        for size in plan.sizes
        for network, spec in MODELS.items()
    ]


def epochs(recipe: Recipe, size: int, share: float) -> int:
    """Passes over so many digits that come nearest to a share of the recipe's steps; at least one."""
    return max(1, round(share * steps(recipe, recipe.train_size, recipe.epochs) / steps(recipe, size, 1)))


def steps(recipe: Recipe, size: int, epochs: int) -> int:
    """How many so many passes over so many digits are."""
    return epochs * (size // min(recipe.batch_size, size))


def measure(point: Point, device: str) -> Iterator[Row | None]:
    from atelier.studies import trial

    recipe = MODELS[point["network"]].presets[point["preset"]]
    recipe = replace(
        recipe,
        train_size=point["size"],
        batch_size=min(recipe.batch_size, point["size"]),
        epochs=point["epochs"],
        seed=point["seed"],
    )
    classifier, seconds = yield from trial.train(point["network"], {}, recipe, device)
    images, labels = mnist.load("test")
    read = trial.stratified(labels, point["digits"])
    accuracy = yield from trial.accuracy(classifier, images[read], labels[read])
    yield point | {"accuracy": accuracy, "seconds": seconds}


# What the numbers say ------------------------------------------------------------------------------------------------


ANSWERS = (
    "From the start: already with the fewest digits",
    "From somewhere in between",
    "Only with the most digits",
    "Never: with the most digits the CNN is ahead",
)


def findings(table: pd.DataFrame) -> Findings:
    means = table.groupby(["size", "network"]).accuracy.mean().unstack()
    right, crossing = the_crossing(means.reindex(columns=["cnn", "vit"]).dropna())
    complete = means.dropna()
    budget = "" if complete.empty else the_budget(table[table["size"] == complete.index[-1]])
    return Findings(right, (crossing, f"{the_ends(complete)}{budget}."))


def the_crossing(means: pd.DataFrame) -> tuple[int | None, str]:
    """The right answer, and the sentence on two networks' curves; `means` has a row a size, rising."""
    if means.empty:
        return None, "No size has been measured with both the CNN and the ViT."
    if len(means) == 1:
        size, read = means.index[0], means.iloc[0]
        return None, (
            f"With {size:,} digits, the only size measured with both, the ViT reads {sweeps.percent(read.vit)} and the "
            f"CNN {sweeps.percent(read.cnn)}."
        )
    few, many = means.index[[0, -1]]
    numbers = "the ViT reads " + ", and ".join(
        f"{sweeps.percent(means.vit[size])} against {sweeps.percent(means.cnn[size])} with {size:,} digits"
        for size in (few, many)
    )
    behind = means.index[means.vit < means.cnn]
    if few not in behind and many in behind:
        return 3, f"The curves cross the other way: with more digits, the CNN overtakes the ViT; {numbers}."
    if many in behind:
        return 3, f"The CNN is ahead with few digits and with many: {numbers}."
    if behind.empty:
        return 0, f"The ViT is never behind the CNN: {numbers}."
    first = means.index[means.index > behind[-1]][0]
    return (2 if first == many else 1), f"The curves cross: from {first:,} digits on the ViT leads; {numbers}."


def the_ends(means: pd.DataFrame) -> str:
    """The sentence on all networks, with the fewest and with the most digits."""
    if means.empty:
        return "No size has been measured with all of these networks"
    few, many = means.iloc[0], means.iloc[-1]
    best, worst = (MODELS[name].title for name in (few.idxmax(), few.idxmin()))
    if best == worst:
        return (
            f"The {best} reads {sweeps.percent(few.max())} with {few.name:,} digits, and {sweeps.percent(many.max())} "
            f"with {many.name:,}"
        )
    return (
        f"With {few.name:,} digits the {best} reads most, {sweeps.percent(few.max())}, and the {worst} least, "
        f"{sweeps.percent(few.min())}; with {many.name:,} digits, {100 * (many.max() - many.min()):.1f} percentage "
        "points lie between the best and the worst"
    )


def the_budget(most: pd.DataFrame) -> str:
    """What else than digits limits the right-hand end: the rest of a sentence, empty if each network takes as many
    steps there as its recipe does. `most` are the rows of this end."""
    shares = []
    for network, preset, size, epochs in zip(most.network, most.preset, most["size"], most.epochs, strict=True):
        recipe = MODELS[network].presets[preset]
        shares.append(steps(recipe, size, epochs) / steps(recipe, recipe.train_size, recipe.epochs))
    if min(shares) >= 1:
        return ""
    passes = between(most.epochs, ",") + (" pass" if most.epochs.max() == 1 else " passes")
    digits, steps_taken = most["size"].max(), between(shares, ".0%")
    told = f"{passes} over the {digits:,} digits, {steps_taken} of the steps of each recipe"
    return f"; that end is limited by the budget, too: {told}"


def between(values: Iterable[float], form: str) -> str:
    """As "1 to 2", or "1" if all are the same."""
    return " to ".join(dict.fromkeys(format(end(values), form) for end in (min, max)))


def figure(table: pd.DataFrame) -> Figure:
    by_size = table.groupby(["network", "size"]).accuracy.agg(["mean", "min", "max", "count"])
    lines = [line(network, by_size.loc[network]) for network in sweeps.networks(table)]
    sizes = sorted(set(table["size"]))
    return plotting.figure(
        lines,
        "Who needs how many digits?",
        "Higher is better · bars: from worst to best seed",
        xaxis=plotting.axis("training digits")
        | {"type": "log", "tickvals": sizes, "ticktext": [f"{size:,}" for size in sizes]},
        yaxis=sweeps.accuracy_axis(),
        showlegend=True,
        legend=sweeps.LEGEND,
    )


def line(network: str, by_size: pd.DataFrame) -> Scatter:
    """A network's curve; `by_size` has mean, min, max and count of its accuracies at each size."""
    spec, heights = MODELS[network], sweeps.misread(by_size["mean"])
    return Scatter(
        x=by_size.index,
        y=heights,
        error_y=sweeps.spread(by_size),
        name=spec.title,
        mode="lines+markers",
        line={"color": spec.colour, "width": 3},
        marker={"size": 10},
        customdata=by_size,
        hovertemplate=f"<b>{spec.title}</b>, %{{x:,}} digits: %{{customdata[0]:.2%}} right<br>"
        "worst seed %{customdata[1]:.2%}, best %{customdata[2]:.2%}<extra></extra>",
    )


STUDY = Study(
    name="data_hunger",
    title="Data hunger",
    question="From how many training digits on does the ViT read at least as well as the CNN?",
    answers=ANSWERS,
    method="Each network learns for about a tenth of the steps of its full recipe (quick: a quarter of its demo), with "
    "many digits or with few. So none is at its best here.",
    columns=("network", "size", "seed", "preset", "epochs", "digits", "accuracy", "seconds"),
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
    trains=True,
)
