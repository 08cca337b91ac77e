from dataclasses import replace

from atelier import MODELS, checkpoint, zoo


def test_every_network_is_introduced_with_its_own_number(app, text):
    app.run()
    assert not app.exception
    for name, spec in MODELS.items():
        shown = text(app, f"network_{name}")
        assert spec.title in shown
        assert spec.idea in shown
        assert f"{checkpoint.read_card(spec.checkpoint)['accuracy']:.2%}" in shown


def test_a_missing_checkpoint_is_said(app, monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "CHECKPOINTS", tmp_path)
    app.run()
    assert not app.exception
    assert "cnn.safetensors" in app.warning[0].value


def test_a_network_added_to_the_registry_appears(app, monkeypatch):
    twin = replace(MODELS["cnn"], name="cnn", title="Second network")
    monkeypatch.setitem(MODELS, "cnn", twin)
    app.run()
    assert any("Second network" in html.value for html in app.html)
