"""Data hunger: the rule for passes, and findings that follow the numbers."""

import json

import pandas as pd
import pytest

from atelier.figures import sweeps
from atelier.recipe import Recipe
from atelier.studies.data_hunger import STUDY, epochs
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


HUNGRY = table(cnn=(0.9, 0.95, 0.98), vit=(0.6, 0.9, 0.97))


def test_passes_by_hand():
    recipe = Recipe(epochs=12, batch_size=250)  # 12 * 220 = 2,640 steps, a tenth of it 264
    assert epochs(recipe, 55_000, 1 / 10) == 1
    assert epochs(recipe, 10_000, 1 / 10) == 7  # 40 steps a pass
    assert epochs(recipe, 1_000, 1 / 10) == 66  # four steps a pass
    assert epochs(recipe, 300, 1 / 10) == 264  # one step a pass
    assert epochs(recipe, 100, 1 / 10) == 264  # a batch holds all 100
    assert epochs(Recipe(epochs=4, batch_size=8, train_size=1_600), 5_000, 1 / 4) == 1  # never less than all digits


def test_points_cover_all_networks_sizes_and_seeds():
    whole, quick = (pd.DataFrame(STUDY.points(quick)) for quick in (False, True))
    for points in (whole, quick):
        assert set(points.network) == set(MODELS)
        assert points["size"].min() == 100
        assert not points.duplicated().any()
    assert whole["size"].max() == 55_000
    assert whole.seed.nunique() == 3
    assert quick.seed.nunique() == 1
    assert quick["size"].nunique() == 3
    assert len(whole) == len(MODELS) * 3 * whole["size"].nunique()


def test_a_point_is_measured():
    point = {"network": "cnn", "size": 100, "seed": 0, "preset": "demo", "epochs": 1, "digits": 50}
    *signs, row = STUDY.measure(point, "cpu")
    assert set(signs) == {None}
    assert row.items() >= point.items()
    assert 0 <= row["accuracy"] <= 1
    assert row["seconds"] > 0


def test_swapped_numbers_reverse_the_sentences():
    found = STUDY.findings(HUNGRY)
    swapped = STUDY.findings(HUNGRY.replace({"network": {"cnn": "vit", "vit": "cnn"}}))
    assert STUDY.answers[found.right].startswith("Never")
    assert STUDY.answers[swapped.right].startswith("From the start")
    assert "60.0% against 90.0% with 100 digits" in found.sentences[0]
    assert "The CNN is ahead" in found.sentences[0]
    assert "90.0% against 60.0% with 100 digits" in swapped.sentences[0]
    assert "The ViT is never behind" in swapped.sentences[0]
    assert "the CNN reads most, 90.0%, and the ViT least, 60.0%" in found.sentences[1]
    assert "the ViT reads most, 90.0%, and the CNN least, 60.0%" in swapped.sentences[1]
    assert "1.0 percentage points lie between" in found.sentences[1]


def test_what_the_budget_of_steps_does_to_the_right_hand_end_is_told():
    """The CNN's own recipe takes 2,640 steps and the ViT's 6,050; 40 and 50 is what 10,000 digits take in a pass."""
    by_recipe = [MODELS[name].presets["full"] for name in ("cnn", "vit")]
    assert [recipe.epochs * (recipe.train_size // recipe.batch_size) for recipe in by_recipe] == [2_640, 6_050]
    few, some = (STUDY.findings(table(epochs, cnn=(0.9, 0.95, 0.98), vit=(0.6, 0.9, 0.97))) for epochs in (7, 66))
    told = "the budget, too: 7 passes over the 10,000 digits, 6% to 11% of the steps of each recipe."
    assert few.sentences[1].endswith(f"; that end is limited by {told}")
    assert "66 passes over the 10,000 digits, 55% to 100%" in some.sentences[1]
    mixed = HUNGRY.assign(epochs=HUNGRY.network.map({"cnn": 7, "vit": 12}))
    assert "7 to 12 passes over" in STUDY.findings(mixed).sentences[1]
    assert "budget" not in STUDY.findings(HUNGRY.assign(epochs=121)).sentences[1]  # the recipes' steps and more


@pytest.mark.parametrize(
    ("vit", "answer", "told"),
    [
        ((0.6, 0.96, 0.985), "From somewhere in between", "from 1,000 digits on the ViT leads"),
        ((0.6, 0.90, 0.985), "Only with the most digits", "from 10,000 digits on the ViT leads"),
        ((0.95, 0.96, 0.97), "Never", "the CNN overtakes the ViT"),
    ],
)
def test_where_the_curves_cross_is_told(vit, answer, told):
    found = STUDY.findings(table(cnn=(0.9, 0.95, 0.98), vit=vit))
    assert STUDY.answers[found.right].startswith(answer)
    assert told in found.sentences[0]


def test_any_part_of_a_table_has_findings_and_a_figure():
    parts = [HUNGRY.iloc[rows] for rows in ([0], [-1], [0, 1, 2], [0, 6], [0, -1])]  # the last: no size in common
    for part in parts:
        found = STUDY.findings(part)
        assert found.right in (None, *range(len(STUDY.answers)))
        assert all(sentence.endswith(".") for sentence in found.sentences)
        json.loads(STUDY.figure(part).to_json())


def test_with_too_little_there_is_no_answer():
    alone = STUDY.findings(HUNGRY[HUNGRY.network == "vit"])
    assert alone.right is None
    assert "No size has been measured with both" in alone.sentences[0]
    one_size = STUDY.findings(HUNGRY[HUNGRY["size"] == HUNGRY["size"].min()])
    assert one_size.right is None
    assert "the only size measured with both" in one_size.sentences[0]


def test_the_budget_is_that_of_the_sizes_that_all_have_learnt_from():
    further = HUNGRY[HUNGRY.network == "cnn"].assign(size=55_000, epochs=1)
    sentence = STUDY.findings(pd.concat([HUNGRY, further])).sentences[1]
    assert "55,000" not in sentence
    everyone = pd.concat([HUNGRY, HUNGRY[HUNGRY["size"] == HUNGRY["size"].max()].assign(size=55_000, epochs=1)])
    assert "1 pass over the 55,000 digits" in STUDY.findings(everyone).sentences[1]


def test_the_figure_shows_means_with_bars_from_worst_to_best_seed():
    cnn, vit = STUDY.figure(HUNGRY).data
    assert (cnn.name, vit.name) == ("CNN", "ViT")
    assert cnn.line.color == MODELS["cnn"].colour
    assert list(vit.x) == [100, 1_000, 10_000]
    assert list(vit.y) == pytest.approx([0.4, 0.1, 0.03])  # misread
    assert list(vit.error_y.array) == pytest.approx([0.001] * 3)
    assert list(vit.error_y.arrayminus) == pytest.approx([0.001] * 3)
    assert not STUDY.figure(HUNGRY[HUNGRY.seed == 0]).data[0].error_y.visible


def test_the_axis_names_accuracies_where_misread_shares_lie():
    axis = sweeps.accuracy_axis()
    names = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    assert (names[0.5], names[0.01], names[0.0005]) == ("50%", "99%", "99.95%")
    assert sweeps.misread(pd.Series([1.0, 0.9]))[0] > 0  # a logarithmic axis has no zero
