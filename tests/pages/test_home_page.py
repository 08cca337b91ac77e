"""Home: a card for each network, a verdict on each conclusion, and a lesson."""

import pytest

from atelier import MODELS, checkpoint, paths
from atelier.studies import results
from atelier.studies.conclusions import CONCLUSIONS, Verdict
from tests.support.made_results import WRONG, write_leaderboard


@pytest.fixture(autouse=True)
def studies(monkeypatch, tmp_path):
    """Where the shipped results lie; none at first."""
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "studies")
    return results.SHIPPED


def test_every_network_has_a_card_with_its_accuracy(app, text):
    app.run()
    assert not app.exception
    for name, spec in MODELS.items():
        card = text(app, f"network_{name}")
        assert spec.title in card
        assert spec.idea in card
        assert f"{checkpoint.read_card(spec.checkpoint)['accuracy']:.2%}" in card


def test_missing_checkpoints_are_named(app, text, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    app.run()
    assert not app.exception
    assert "cnn.safetensors" in text(app, "network_cnn")


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (WRONG, Verdict.SUPPORTED),
        (WRONG | {"cnn": 48}, Verdict.SUPPORTED),  # the ViT misreads 47: chance
        (WRONG | {"cnn": 199}, Verdict.NOT_SUPPORTED),
    ],
)
def test_numbers_decide_the_verdict(app, keys, text, studies, wrong, verdict):
    write_leaderboard(studies, wrong)
    app.run()
    assert not app.exception
    assert f"verdict_leaderboard_{verdict}" in keys(app)
    assert "2026-11-23 · 2 CPU cores" in text(app, "method_leaderboard")


def test_without_predictions_the_verdict_is_inconclusive(app, keys, studies):
    write_leaderboard(studies)
    (studies / "leaderboard.npz").unlink()
    app.run()
    assert not app.exception
    assert f"verdict_leaderboard_{Verdict.INCONCLUSIVE}" in keys(app)


def test_changed_weights_are_named(app, text, studies):
    write_leaderboard(studies, weights={"vit": "0123456789abcdef"})
    app.run()
    assert f": {MODELS['vit'].title}." in text(app, "method_leaderboard")


def test_conclusion_without_results_gives_the_command(app, text):
    app.run()
    assert not app.exception
    for conclusion in CONCLUSIONS:
        assert f"python -m atelier study {conclusion.study}" in text(app, f"conclusion_{conclusion.study}")


def test_lesson_visits_every_other_page(app, keys):
    app.run()
    assert keys(app) >= {"lesson_draw", "lesson_train", "lesson_inside", "lesson_compare"}
