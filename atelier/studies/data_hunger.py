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

import pandas as pd
from plotly.graph_objects import Figure

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
    row, _ = yield from trial.train_and_test(point["network"], {}, recipe, device, point["digits"])
    yield point | row


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
    cnn, vit = compared()
    both = means.reindex(columns=[cnn, vit]).dropna()
    answer, sentences = the_crossing(both[vit] - both[cnn])
    if len(complete := means.dropna()):
        few, many = complete.iloc[0], complete.iloc[-1]
        best, spread = MODELS[few.idxmax()].title, 100 * (many.max() - many.min())
        sentences.append(f"With {few.name:,} digits, the {best} is the most accurate: {sweeps.percent(few.max())}.")
        sentences.append(f"With {many.name:,} digits, the networks differ by {spread:.1f} percentage points.")
    return Findings(answer, tuple(sentences))


def the_crossing(lead: pd.Series) -> tuple[str | None, list[str]]:
    """Answer and sentences on the transformer's lead in accuracy; `lead` has a value per size, rising."""
    cnn, vit = (MODELS[network].title for network in compared())
    if len(lead) < 2:
        return None, [f"Fewer than two sizes have been measured with both {cnn} and {vit}."]
    behind = lead.index[lead < 0]
    few, many = lead.index[[0, -1]]
    if many in behind:
        answer, crossing = "never", f"The {cnn} is ahead with few digits and with many."
        if few not in behind:
            crossing = f"The {cnn} overtakes the {vit} as the digits become more."
    elif behind.empty:
        answer, crossing = "start", f"The {vit} is never behind the {cnn}."
    else:
        first = lead.index[lead.index > behind[-1]][0]
        answer = "most" if first == many else "between"
        crossing = f"The {vit} catches up with the {cnn} at {first:,} digits."
    return answer, [crossing, *(f"With {n:,} digits, the {vit} is {gap_in_words(lead[n])}." for n in (few, many))]


def gap_in_words(lead: float) -> str:
    return f"{abs(100 * lead):.1f} percentage points {'behind' if lead < 0 else 'ahead'}"


def figure(table: pd.DataFrame) -> Figure:
    by_size = table.groupby(["network", "size"]).accuracy.agg(["mean", "min", "max", "count"])
    lines = [
        sweeps.accuracy_line(network, by_size.loc[network].index, by_size.loc[network], "%{x:,} digits")
        for network in sweeps.networks(table)
    ]
    sizes = sorted(set(table["size"]))
    return sweeps.accuracy_figure(
        lines,
        "How many training digits does each network need?",
        "Higher is better · bars: from worst to best seed",
        plotting.axis("training digits") | {"tickvals": sizes, "ticktext": [f"{size:,}" for size in sizes]},
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
