"""A visitor's own run in place of a ready-made network: in the session, in its link, on the Draw page."""

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from atelier import MODELS, checkpoint, paths
from atelier.data import drawing, hands
from atelier.runs.folder import Run
from pages.ui.cards import BLANK

ROOT = Path(__file__).parents[2]
SEVEN = next(d for d in json.loads(hands.STROKES.read_text()) if d["hand"] == "a1" and d["label"] == 7)
LAST_LAYER = {"vit": "head", "alexnet": "head.5"}


@pytest.fixture
def new_run(monkeypatch, tmp_path):
    """`new_run(model)`: a finished run whose network answers the next class, an 8 to a 7."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")

    def make(model):
        run = Run.create(paths.RUNS, {"model": model})
        tensors, card = checkpoint.load(MODELS[model].checkpoint)
        for name in (f"{LAST_LAYER[model]}.weight", f"{LAST_LAYER[model]}.bias"):
            tensors[name] = tensors[name].roll(1, dims=0)
        checkpoint.save(run.path("best.safetensors"), tensors, card)
        run.set_status("done")
        return run

    return make


def drawn(app, **link):
    """The Draw page with a 7 on it, opened by a link."""
    app.session_state["strokes"] = drawing.from_polylines(SEVEN["strokes"], SEVEN["width"])
    app.query_params.update(link)
    app.run()
    assert not app.exception
    return app


def another_browser():
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("pages/draw.py")


def test_link_chooses_a_run_and_follows_to_every_page(draw, text, new_run):
    run = new_run("vit")
    run.rename("<b>Ada's</b> & mine")
    drawn(draw, vit=run.id, axis="seconds")
    assert draw.query_params == {"vit": run.id, "axis": "seconds"}
    assert (text(draw, "answer_vit"), text(draw, "answer_alexnet")) == ("8", "7")
    assert "&lt;b&gt;Ada&#x27;s&lt;/b&gt; &amp; mine" in text(draw, "card_vit")
    for page in ("home", "draw"):
        draw.query_params.clear()  # as Streamlit does when the page changes
        draw.switch_page(f"pages/{page}.py").run()
        assert draw.query_params == {"vit": run.id}
    assert text(draw, "answer_vit") == "8"


def test_button_leads_back_to_the_shipped_networks(draw, text, keys, new_run):
    drawn(draw, vit=new_run("vit").id, alexnet=new_run("alexnet").id)
    assert text(draw, "answer_vit") == text(draw, "answer_alexnet") == "8"
    draw.button(key="back_to_shipped").click().run()
    assert text(draw, "answer_vit") == text(draw, "answer_alexnet") == "7"
    assert draw.query_params == {}
    assert "back_to_shipped" not in keys(draw)


def test_page_chooses_runs_and_returns_to_the_shipped_network(new_run):
    def page(first, second):
        import streamlit as st

        from pages.ui import networks, state

        state.prepare()
        networks.follow_link()
        st.button("First", on_click=networks.use_run, args=(first, "vit"), key="first")
        st.button("Second", on_click=networks.use_run, args=(second, "alexnet"), key="second")
        st.button("Back", on_click=networks.use_shipped, args=("vit",), key="back")

    first, second = new_run("vit").id, new_run("alexnet").id
    app = AppTest.from_function(page, args=(first, second)).run()
    for key, chosen in (
        ("first", {"vit": first}),
        ("second", {"vit": first, "alexnet": second}),
        ("back", {"alexnet": second}),
    ):
        app.button(key=key).click().run()
        assert app.session_state["chosen_runs"] == app.query_params == chosen


def without_weights(new_run):
    run = new_run("vit")
    run.path("best.safetensors").unlink()
    return run.id


UNUSABLE_LINKS = {
    "unknown": lambda _: "20200101-000000-vit-abcd",
    "path": lambda _: "../../etc",
    "dot": lambda _: ".",
    "long": lambda _: "x" * 5000,
    "null": lambda _: "\0",
    "picture": lambda _: "![](http://a.b/c)",
    "another network": lambda new_run: new_run("alexnet").id,
    "without weights": without_weights,
}


@pytest.mark.parametrize("kind", UNUSABLE_LINKS)
def test_unusable_link_gets_one_message_and_the_shipped_network(draw, text, new_run, kind):
    run_id = UNUSABLE_LINKS[kind](new_run)
    drawn(draw, vit=run_id)
    assert text(draw, "answer_vit") == "7"
    (warning,) = draw.warning
    assert run_id == "." or run_id not in warning.value  # a stranger's text does not reach the page
    assert draw.query_params == {}
    draw.switch_page("pages/home.py").run()
    assert draw.session_state["link_error"] == ""


def test_empty_parameter_chooses_nothing(draw, text):
    drawn(draw, vit="")
    assert text(draw, "answer_vit") == "7"
    assert not draw.warning
    assert draw.query_params == {}


@pytest.mark.parametrize("damage", ["deleted", "cut off", "another network"])
def test_card_shows_why_a_run_cannot_be_used(draw, text, new_run, damage):
    run = new_run("vit")
    weights = run.path("best.safetensors")
    if damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "another network":
        weights.write_bytes(MODELS["alexnet"].checkpoint.read_bytes())
    drawn(draw, vit=run.id)
    if damage == "deleted":
        shutil.rmtree(run.folder)
        draw.run()
    assert not draw.exception
    assert text(draw, "answer_vit") == BLANK
    assert "0123456789" not in text(draw, "card_vit")  # a reason stands in place of the bars
    draw.button(key="back_to_shipped").click().run()
    assert text(draw, "answer_vit") == "7"


def test_sessions_do_not_share_their_runs(draw, text, new_run):
    other, third = another_browser(), another_browser()
    drawn(draw, vit=new_run("vit").id)
    drawn(other, alexnet=new_run("alexnet").id)
    drawn(third)
    for app in (draw, other, third):
        app.run()
    assert [text(app, "answer_vit") for app in (draw, other, third)] == ["8", "7", "7"]
    assert [text(app, "answer_alexnet") for app in (draw, other, third)] == ["7", "8", "7"]


def test_wide_canvas_uses_the_chosen_runs(draw, keys, new_run):
    run = Run.create(paths.RUNS, {"model": "cnn"})
    run.path("best.safetensors").write_bytes(b"no weights")
    drawn(draw, cnn=run.id)
    assert "scene_canvas" in keys(draw)
    assert "scene_reading" not in keys(draw)
