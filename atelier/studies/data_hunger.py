"""Data hunger: the accuracy of each network after training on few digits and on many.

The lab report says that Vision Transformers need more data than CNNs: no part of them knows that neighbouring pixels
belong together, and they have to learn it (Dosovitskiy et al. 2020, arXiv:2010.11929).

One rule for all networks: each trains by its own full recipe, but with about a tenth of its steps, and so sixty
trainings end within two hours on two cores. The number of steps does not depend on the number of digits: 100 digits are
repeated hundreds of times, and 55,000 once or twice. A batch holds all digits where there are fewer than its size. Each
seed draws other digits, stratified by class, the same for all networks. The accuracy is that on 5,000 test digits;
nothing is chosen on them.

The quick version takes a quarter of the demo recipes' steps, with three sizes, one seed and 2,000 test digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from atelier.data import mnist
from atelier.figures import plotting, sweeps
from atelier.recipe import Recipe
from atelier.studies.study import ACCURACY, DIGITS, NETWORK, SECONDS, SEED, Column, Findings, Point, Row, Study
from atelier.zoo import MODELS, Family, of_family


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
    """The number of passes over `size` digits that is nearest to a share of the recipe's steps; at least one."""
    return max(1, round(share * steps(recipe, recipe.train_size, recipe.epochs) / steps(recipe, size, 1)))


def steps(recipe: Recipe, size: int, epochs: int) -> int:
    """The number of steps in `epochs` passes over `size` digits."""
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
    subset = trial.stratified(labels, point["digits"])
    accuracy = yield from trial.accuracy(classifier, images[subset], labels[subset])
    yield point | {"accuracy": accuracy, "seconds": seconds}


# Findings ------------------------------------------------------------------------------------------------------------


ANSWERS = {
    "start": "With the fewest digits already",
    "between": "At a size in between",
    "most": "Only with the most digits",
    "never": "Never: the CNN stays ahead",
}


def compared() -> tuple[str, str]:
    """The two networks of the question: the first convolutional one and the first transformer."""
    return of_family(Family.CONVOLUTIONAL)[0], of_family(Family.TRANSFORMER)[0]


def findings(table: pd.DataFrame) -> Findings:
    means = table.groupby(["size", "network"]).accuracy.mean().unstack()
    answer, facts, sentences = the_crossing(means.reindex(columns=compared()).dropna())
    complete = means.dropna()
    if not complete.empty:
        ends, ends_sentences = the_ends(complete)
        budget, limit = the_budget(table[table["size"] == complete.index[-1]])
        facts, sentences = facts | ends | budget, sentences + ends_sentences + limit
    return Findings(answer, facts, tuple(sentences))


def the_crossing(means: pd.DataFrame) -> tuple[str | None, dict[str, Any], list[str]]:
    """Answer, facts and sentences on the two compared networks; `means` has a row per size, rising."""
    cnn, vit = compared()
    cnn_title, vit_title = MODELS[cnn].title, MODELS[vit].title
    lead = means[vit] - means[cnn]
    facts = {"lead": lead.to_dict()}  # of the transformer, by size
    if len(lead) < 2:
        return None, facts, [f"Fewer than two sizes have been measured with both {cnn_title} and {vit_title}."]
    behind = lead.index[lead < 0]
    few, many = lead.index[[0, -1]]
    if many in behind:
        answer, first = "never", None
        crossing = f"The {cnn_title} is ahead with few digits and with many."
        if few not in behind:
            crossing = f"The {cnn_title} overtakes the {vit_title} as the digits become more."
    elif behind.empty:
        answer, first, crossing = "start", few, f"The {vit_title} is never behind the {cnn_title}."
    else:
        first = lead.index[lead.index > behind[-1]][0]
        answer = "most" if first == many else "between"
        crossing = f"The {vit_title} catches up with the {cnn_title} at {first:,} digits."
    gaps = [f"With {size:,} digits, the {vit_title} is {gap_in_words(lead[size])}." for size in (few, many)]
    return answer, facts | {"from": first}, [crossing, *gaps]


def gap_in_words(lead: float) -> str:
    return f"{abs(100 * lead):.1f} percentage points {'behind' if lead < 0 else 'ahead'}"


def the_ends(means: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """Facts and sentences on all networks, with the fewest and with the most digits."""
    few, many = means.iloc[0], means.iloc[-1]
    facts = {"best_with_few": few.idxmax(), "spread_with_many": many.max() - many.min()}
    sentences = [
        f"With {few.name:,} digits, the {MODELS[few.idxmax()].title} is the most accurate: {sweeps.percent(few.max())}."
    ]
    if len(many) > 1:
        spread = f"{100 * facts['spread_with_many']:.1f} percentage points"
        sentences.append(f"With {many.name:,} digits, {spread} separate the best network from the worst.")
    return facts, sentences


def the_budget(most: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """How the number of training steps limits the largest size.

    Args:
        most: the rows of this size.

    Returns:
        the share of its recipe's steps by network, and a sentence unless each network takes all of them.
    """
    shares = {}
    for row in most.itertuples():
        recipe = MODELS[row.network].presets[row.preset]
        shares[row.network] = steps(recipe, row.size, row.epochs) / steps(recipe, recipe.train_size, recipe.epochs)
    if min(shares.values()) >= 1:
        return {"budget": shares}, []
    size, share = most["size"].max(), max(shares.values())
    return {"budget": shares}, [
        f"With {size:,} digits, no network takes more than {share:.0%} of its recipe's training steps."
        if share < 1
        else f"With {size:,} digits, some networks take fewer training steps than their recipe."
    ]


def figure(table: pd.DataFrame) -> Figure:
    by_size = table.groupby(["network", "size"]).accuracy.agg(["mean", "min", "max", "count"])
    lines = [line(network, by_size.loc[network]) for network in sweeps.networks(table)]
    sizes = sorted(set(table["size"]))
    return plotting.figure(
        lines,
        "How many training digits does each network need?",
        "Higher is better · bars: from worst to best seed",
        xaxis=plotting.axis("training digits")
        | {"type": "log", "tickvals": sizes, "ticktext": [f"{size:,}" for size in sizes]},
        yaxis=sweeps.accuracy_axis(),
        showlegend=True,
        legend=sweeps.LEGEND,
    )


def line(network: str, by_size: pd.DataFrame) -> Scatter:
    """The curve of a network; `by_size` has mean, min, max and count of its accuracies at each size."""
    spec, heights = MODELS[network], sweeps.error_rate(by_size["mean"])
    return Scatter(
        x=by_size.index,
        y=heights,
        error_y=sweeps.spread(by_size),
        name=spec.title,
        mode="lines+markers",
        line={"color": spec.colour, "width": 3},
        marker={"size": 10},
        customdata=by_size,
        hovertemplate=f"<b>{spec.title}</b>, %{{x:,}} digits: %{{customdata[0]:.2%}} accuracy<br>"
        "worst seed %{customdata[1]:.2%}, best %{customdata[2]:.2%}<extra></extra>",
    )


STUDY = Study(
    name="data_hunger",
    title="Data hunger",
    question="From how many training digits on is the {1} at least as accurate as the {0}?".format(
        *(MODELS[name].title for name in compared())
    ),
    choices=ANSWERS,
    method="Each network trains on many digits or few, with about a tenth of the steps of its full recipe (quick: a "
    "quarter of its demo). No network reaches its best accuracy here.",
    columns={
        "network": NETWORK,
        "size": Column("Training digits", "positive"),
        "seed": SEED,
        "preset": Column("Recipe", "text", choices=("demo", "full")),
        "epochs": Column("Epochs", "positive"),
        "digits": DIGITS,
        "accuracy": ACCURACY,
        "seconds": SECONDS,
    },
    points=points,
    measure=measure,
    findings=findings,
    figure=figure,
    trains=True,
)
