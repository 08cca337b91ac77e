from dataclasses import replace

import pytest

from atelier import MODELS, checkpoint, paths
from atelier.studies import STUDIES, results
from atelier.studies.conclusions import CONCLUSIONS
from tests.support.made_results import WRONG, leaderboard


@pytest.fixture(autouse=True)
def studies(monkeypatch, tmp_path):
    """Where the shipped results lie; none at first."""
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "studies")
    return results.SHIPPED


def test_every_network_is_introduced_with_its_own_number(app, text):
    app.run()
    assert not app.exception
    for name, spec in MODELS.items():
        shown = text(app, f"network_{name}")
        assert spec.title in shown
        assert spec.idea in shown
        assert f"{checkpoint.read_card(spec.checkpoint)['accuracy']:.2%}" in shown


def test_a_missing_checkpoint_is_said(app, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    app.run()
    assert not app.exception
    assert "cnn.safetensors" in app.warning[0].value


def test_a_network_added_to_the_registry_appears(app, monkeypatch):
    twin = replace(MODELS["cnn"], name="cnn", title="Second network")
    monkeypatch.setitem(MODELS, "cnn", twin)
    app.run()
    assert any("Second network" in html.value for html in app.html)


@pytest.mark.parametrize(
    ("misread", "verdict"),
    [(WRONG, "say so"), (WRONG | {"cnn": 48}, "say so"), (WRONG | {"cnn": 99}, "say otherwise")],  # the ViT: 47
    ids=["first", "second by chance", "last"],
)
def test_other_numbers_turn_the_verdict_on_a_conclusion(app, text, studies, misread, verdict):
    leaderboard(studies, misread)
    app.run()
    assert not app.exception
    shown = text(app, "conclusion_leaderboard")
    assert "CNNs are simple and effective." in shown
    assert f"The numbers {verdict}" in shown
    for sentence in STUDIES["leaderboard"].findings(results.shipped("leaderboard").table).sentences:
        assert sentence in shown
    assert "could be chance" in shown or "hardly chance" in shown
    assert f"CNN{misread['cnn']}Faster R-CNN66" in shown  # bars
    assert "2026-11-23, 2 CPU cores" in shown


def test_other_weights_than_those_measured_are_said(app, text, studies):
    leaderboard(studies, weights={"vit": "0123456789abcdef"})
    app.run()
    assert "Measured with other weights than they have now: ViT." in text(app, "conclusion_leaderboard")


def test_without_the_networks_answers_there_is_no_verdict(app, text, studies):
    leaderboard(studies)
    (studies / "leaderboard.npz").unlink()
    app.run()
    assert not app.exception
    assert "The numbers do not tell" in text(app, "conclusion_leaderboard")


def test_a_conclusion_without_results_names_the_command(app, text):
    app.run()
    assert not app.exception
    for conclusion in CONCLUSIONS:
        shown = text(app, f"conclusion_{conclusion.study}")
        assert conclusion.sentence in shown
        assert f"python -m atelier study {conclusion.study}" in shown


def test_the_lesson_passes_every_page_with_a_task(app, text):
    app.run()
    for stop, page in enumerate(("draw", "train", "inside", "compare"), start=1):
        assert f"Stop {stop}, " in text(app, f"lesson_{page}")
