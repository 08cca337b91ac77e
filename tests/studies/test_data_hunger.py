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


def test_a_point_is_measured():
    point = {"network": "cnn", "size": 100, "seed": 0, "preset": "demo", "epochs": 1, "digits": 50}
    *signs, row = STUDY.measure(point, "cpu")
    assert set(signs) == {None}
    assert row.items() >= point.items()
    assert 0 <= row["accuracy"] <= 1
    assert row["seconds"] > 0


@pytest.mark.parametrize(
    ("vit", "answer", "first"),
    [
        ((0.95, 0.96, 0.985), "start", 100),
        ((0.6, 0.96, 0.985), "between", 1_000),
        ((0.6, 0.90, 0.985), "most", 10_000),
        ((0.6, 0.90, 0.97), "never", None),
        ((0.95, 0.96, 0.97), "never", None),  # the CNN overtakes the ViT
    ],
)
def test_size_at_which_the_transformer_catches_up(vit, answer, first):
    findings = STUDY.findings(table(cnn=CNN, vit=vit))
    assert (findings.answer, findings.facts["from"]) == (answer, first)
    assert list(findings.facts["lead"].values()) == pytest.approx([v - c for c, v in zip(CNN, vit, strict=True)])
    assert findings.facts["spread_with_many"] == pytest.approx(abs(vit[-1] - CNN[-1]))


def test_share_of_the_recipes_steps_at_the_largest_size_by_hand():
    """The CNN's recipe takes 2,640 steps and the ViT's 6,050; 10,000 digits are 40 and 50 steps per epoch."""
    findings = STUDY.findings(table(7, cnn=CNN, vit=CNN))
    assert findings.facts["budget"] == pytest.approx({"cnn": 7 * 40 / 2_640, "vit": 7 * 50 / 6_050})
    complete = STUDY.findings(table(121, cnn=CNN, vit=CNN))
    assert min(complete.facts["budget"].values()) >= 1
    assert len(complete.sentences) == len(findings.sentences) - 1  # there is no limit to mention


def test_sizes_that_only_some_networks_have_do_not_count_for_all():
    further = HUNGRY[HUNGRY.network == "cnn"].assign(size=55_000)
    findings = STUDY.findings(pd.concat([HUNGRY, further]))
    assert set(findings.facts["lead"]) == {100, 1_000, 10_000}
    assert findings.facts["budget"].keys() == {"cnn", "vit"}


def test_one_network_or_one_size_gives_no_answer():
    assert STUDY.findings(HUNGRY[HUNGRY.network == "vit"]).answer is None
    assert STUDY.findings(HUNGRY[HUNGRY["size"] == 100]).answer is None


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
    assert sweeps.misread(pd.Series([1.0, 0.9]))[0] > 0  # a logarithmic axis has no zero
