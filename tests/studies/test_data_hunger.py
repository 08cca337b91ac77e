"""Data hunger: the rule for epochs, and findings that follow the numbers."""

import pandas as pd
import pytest

from atelier.figures import sweeps
from atelier.recipe import Recipe
from atelier.studies.data_hunger import QUICK, STUDY, WHOLE, epochs
from atelier.zoo import MODELS


def table(epochs=1, **curves):
    """Accuracies by network, for 100, 1,000 and 10,000 digits and two seeds around the accuracy."""
    fixed = {"preset": "full", "epochs": epochs}
    return pd.DataFrame(
        {"network": network, "size": size, "seed": seed, "accuracy": accuracy + (seed - 0.5) / 500} | fixed
        for network, accuracies in curves.items()
        for size, accuracy in zip((100, 1_000, 10_000), accuracies, strict=True)
        for seed in (0, 1)
    )


CNN = (0.9, 0.95, 0.98)
HUNGRY = table(cnn=CNN, vit=(0.6, 0.9, 0.97))


def test_epochs_by_hand():
    recipe = Recipe(epochs=12, batch_size=250)  # 12 * 220 = 2,640 steps, a tenth of them 264
    assert epochs(recipe, 55_000, 1 / 10) == 1
    assert epochs(recipe, 10_000, 1 / 10) == 7  # 40 steps per epoch
    assert epochs(recipe, 1_000, 1 / 10) == 66  # four steps per epoch
    assert epochs(recipe, 100, 1 / 10) == 264  # a batch holds all 100
    assert epochs(Recipe(epochs=4, batch_size=8, train_size=1_600), 5_000, 1 / 4) == 1  # at least one epoch


@pytest.mark.parametrize(("quick", "plan"), [(False, WHOLE), (True, QUICK)])
def test_points_cover_all_networks_sizes_and_seeds(quick, plan):
    points = pd.DataFrame(STUDY.points(quick))
    assert not points.duplicated().any()
    assert (set(points.network), set(points["size"])) == (set(MODELS), set(plan.sizes))
    assert len(points) == len(MODELS) * len(plan.sizes) * plan.seeds


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        (table(cnn=CNN, vit=(0.95, 0.96, 0.985)), "start"),
        (table(cnn=CNN, vit=(0.6, 0.96, 0.985)), "between"),
        (table(cnn=CNN, vit=(0.6, 0.90, 0.985)), "most"),
        (table(cnn=CNN, vit=(0.6, 0.90, 0.97)), "never"),
        (table(cnn=CNN, vit=(0.95, 0.96, 0.97)), "never"),  # the CNN overtakes the ViT
        (table(cnn=CNN), None),
        (HUNGRY[HUNGRY["size"] == 100], None),
        (pd.concat([HUNGRY[HUNGRY["size"] == 100], HUNGRY[HUNGRY.network == "cnn"]]), None),  # one size in common
    ],
)
def test_size_at_which_the_transformer_catches_up(numbers, answer):
    assert STUDY.findings(numbers).answer == answer


def test_figure_shows_means_with_bars_from_worst_to_best_seed():
    cnn, vit = STUDY.figure(HUNGRY).data
    assert (cnn.name, vit.name) == (MODELS["cnn"].title, MODELS["vit"].title)
    assert cnn.line.color == MODELS["cnn"].colour
    assert list(vit.x) == [100, 1_000, 10_000]
    assert list(vit.y) == pytest.approx([0.4, 0.1, 0.03])  # misread
    assert list(vit.error_y.array) == pytest.approx([0.001] * 3)
    assert list(vit.error_y.arrayminus) == pytest.approx([0.001] * 3)
    assert not STUDY.figure(HUNGRY[HUNGRY.seed == 0]).data[0].error_y.visible


def test_accuracy_axis_names_accuracies_where_misread_shares_lie():
    axis = sweeps.accuracy_axis()
    names = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    assert (names[0.5], names[0.01], names[0.0005]) == ("50%", "99%", "99.95%")
    assert sweeps.error_rate(pd.Series([1.0, 0.9]))[0] > 0  # a logarithmic axis has no zero
