"""A person's own run in place of a shipped network: in the session, in its link, on the Draw page."""

import gc
import json
import os
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from atelier import MODELS, checkpoint, paths
from atelier.checkpoint import weights
from atelier.data import drawing, hands
from atelier.runs import pool
from atelier.runs.folder import Run
from pages.ui import networks

ROOT = Path(__file__).parent.parent.parent
DRAWINGS = json.loads(hands.STROKES.read_text())
SEVEN = next(d for d in DRAWINGS if d["hand"] == "a1" and d["label"] == 7)
LAST_LAYER = {"vit": "head", "alexnet": "head.5", "faster_rcnn": "detector.roi_heads.box_predictor.cls_score"}


@pytest.fixture
def new_run(monkeypatch, tmp_path):
    """`new_run(model)`: a finished run of a network that takes each digit for the next one, a 7 for an 8."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")

    def make(model):
        run = Run.create(paths.RUNS, {"model": model})
        tensors, card = checkpoint.load(MODELS[model].checkpoint)
        for name in (f"{LAST_LAYER[model]}.weight", f"{LAST_LAYER[model]}.bias"):
            tensors[name] = tensors[name].clone()
            tensors[name][-10:] = tensors[name][-10:].roll(1, dims=0)
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


def cards(app):
    return " ".join(html.value for html in app.html)


def sentences(app):
    return " ".join(warning.value for warning in app.warning)


def test_a_link_makes_a_run_the_network_of_the_session(draw, text, new_run):
    run = new_run("vit")
    run.rename("<b>Ada's</b> & mine")
    drawn(draw, vit=run.id)
    assert text(draw, "answer_vit") == "8"
    assert text(draw, "answer_alexnet") == "7"
    assert "own run: &lt;b&gt;Ada&#x27;s&lt;/b&gt; &amp; mine" in cards(draw)


def test_the_link_follows_to_every_page(draw, text, new_run):
    run = new_run("vit")
    drawn(draw, vit=run.id)
    draw.query_params.clear()  # as Streamlit does when the page changes
    draw.switch_page("pages/home.py").run()
    assert draw.query_params == {"vit": run.id}
    draw.query_params.clear()
    draw.switch_page("pages/draw.py").run()
    assert draw.query_params == {"vit": run.id}
    assert text(draw, "answer_vit") == "8"


def test_what_else_a_link_says_stays(draw, new_run):
    run = new_run("vit")
    drawn(draw, vit=run.id, axis="seconds")
    assert draw.query_params == {"vit": run.id, "axis": "seconds"}


def test_a_click_leads_back_to_the_shipped_networks(draw, text, new_run):
    drawn(draw, vit=new_run("vit").id, alexnet=new_run("alexnet").id)
    assert text(draw, "answer_vit") == text(draw, "answer_alexnet") == "8"
    draw.button(key="back_to_shipped").click().run()
    assert text(draw, "answer_vit") == text(draw, "answer_alexnet") == "7"
    assert draw.query_params == {}
    assert "own run" not in cards(draw)
    assert not [button for button in draw.button if button.key == "back_to_shipped"]


def test_a_run_is_chosen_and_put_back_by_a_page(new_run):
    def page(first, second):
        import streamlit as st

        from pages.ui import networks

        networks.follow_link()
        st.button("First", on_click=networks.use_run, args=(first, "vit"))
        st.button("Second", on_click=networks.use_run, args=(second, "alexnet"))
        st.button("Back", on_click=networks.use_shipped, args=("vit",))
        st.text(f"{networks.chosen('vit')} {networks.chosen('alexnet')} {networks.chosen('cnn')}")

    first, second = new_run("vit").id, new_run("alexnet").id
    app = AppTest.from_function(page, args=(first, second)).run()
    assert app.text[0].value == "None None None"
    app.button[0].click().run()
    app.button[1].click().run()
    assert app.text[0].value == f"{first} {second} None"
    assert app.query_params == {"vit": first, "alexnet": second}
    app.button[2].click().run()
    assert app.text[0].value == f"None {second} None"
    assert app.query_params == {"alexnet": second}


FOREIGN = ["20200101-000000-vit-abcd", "../../etc", "/etc", "..", ".", "runs", "x" * 5000, "\0", "![](http://a.b/c)"]


@pytest.mark.parametrize("run_id", FOREIGN)
def test_a_link_to_no_run_gets_a_sentence_and_the_shipped_network(draw, text, new_run, run_id):
    new_run("vit")
    drawn(draw, vit=run_id)
    assert text(draw, "answer_vit") == "7"
    assert "not on this computer" in sentences(draw)
    assert run_id == "." or run_id not in sentences(draw)
    assert draw.query_params == {}
    draw.switch_page("pages/home.py").run()
    assert "not on this computer" not in sentences(draw)  # said once


def test_a_link_with_an_empty_place_is_no_choice(draw, text):
    drawn(draw, vit="")
    assert text(draw, "answer_vit") == "7"
    assert "Shipped networks" not in sentences(draw)
    assert draw.query_params == {}


def test_a_link_to_a_run_of_another_network_is_refused(draw, text, new_run):
    drawn(draw, vit=new_run("alexnet").id)
    assert text(draw, "answer_vit") == text(draw, "answer_alexnet") == "7"
    assert "trained another network" in sentences(draw)


def test_a_link_to_a_run_without_weights_is_refused(draw, text, new_run):
    run = new_run("vit")
    run.path("best.safetensors").unlink()
    drawn(draw, vit=run.id)
    assert text(draw, "answer_vit") == "7"
    assert "no weights yet" in sentences(draw)


def test_a_run_that_is_deleted_meanwhile_is_said_on_its_card(draw, text, new_run):
    run = new_run("vit")
    drawn(draw, vit=run.id)
    shutil.rmtree(run.folder)
    draw.run()
    assert not draw.exception
    assert text(draw, "answer_vit") == "–"
    assert "not on this computer" in cards(draw)
    draw.button(key="back_to_shipped").click().run()
    assert text(draw, "answer_vit") == "7"


@pytest.mark.parametrize("damage", ["cut off", "another network"])
def test_a_run_with_unusable_weights_is_said_on_its_card(draw, text, new_run, damage):
    run = new_run("vit")
    if damage == "cut off":
        run.path("best.safetensors").write_bytes(MODELS["vit"].checkpoint.read_bytes()[:-1000])
    else:
        run.path("best.safetensors").write_bytes(MODELS["alexnet"].checkpoint.read_bytes())
    drawn(draw, vit=run.id)
    assert text(draw, "answer_vit") == "–"
    assert damage in cards(draw)
    draw.button(key="back_to_shipped").click().run()
    assert text(draw, "answer_vit") == "7"


def test_sessions_do_not_share_what_they_chose(draw, text, new_run):
    other, third = another_browser(), another_browser()
    drawn(draw, vit=new_run("vit").id)
    drawn(other, alexnet=new_run("alexnet").id)
    drawn(third)
    for _ in range(2):  # also when they take turns
        for app in (draw, other, third):
            app.run()
    assert [text(app, "answer_vit") for app in (draw, other, third)] == ["8", "7", "7"]
    assert [text(app, "answer_alexnet") for app in (draw, other, third)] == ["7", "8", "7"]


def test_the_wide_canvas_is_read_by_own_runs(draw, text, new_run):
    untrained = Run.create(paths.RUNS, {"model": "cnn"})
    card = {"model": "cnn", "config": {}}
    checkpoint.save(untrained.path("best.safetensors"), weights(MODELS["cnn"].build()), card)
    strokes = [[[40 + 0.5 * x, 20 + 0.5 * y] for x, y in stroke] for stroke in SEVEN["strokes"]]
    draw.session_state["scene_strokes"] = drawing.from_polylines(strokes, drawing.WIDE_PEN)
    drawn(draw, cnn=untrained.id, faster_rcnn=new_run("faster_rcnn").id)
    assert set(text(draw, "scene_reading")) == {"8"}  # one or two: an 8's box does not quite fit a 7
    assert len(text(draw, "scene_pieces")) == 1
    assert cards(draw).count("own run: CNN ") == 4  # its name and its title, in two cards


# Keeping loaded runs --------------------------------------------------------------------------------------------------


@pytest.fixture
def answers_of(new_run, monkeypatch):
    """`answers_of(run)`: the Future of a run, as a session that has chosen it gets it."""
    monkeypatch.setattr(pool, "DELAY", 0.0)

    def load(run, model="vit"):
        monkeypatch.setattr(networks, "chosen", {model: run.id}.get)
        return networks.load(model)

    return load


def test_runs_that_nobody_used_for_longest_make_room(new_run, answers_of, monkeypatch):
    nine = [new_run("vit") for _ in range(9)]
    monkeypatch.setattr(pool, "MEMORY", 8 * 2 * nine[0].path("best.safetensors").stat().st_size)
    shipped = networks.load("vit")
    kept = [answers_of(run) for run in nine[:8]]
    for promise in kept:
        promise.result(timeout=60)
    assert answers_of(nine[0]) is kept[0]  # used again: now the second is the oldest
    answers_of(nine[8]).result(timeout=60)
    assert answers_of(nine[0]) is kept[0]
    assert answers_of(nine[2]) is kept[2]
    assert kept[1].result().predict_proba(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)  # who has it can use it
    forgotten = weakref.ref(kept.pop(1).result().network)
    gc.collect()
    assert forgotten() is None
    monkeypatch.setattr(networks, "chosen", {}.get)
    assert networks.load("vit") is shipped


def test_a_run_larger_than_the_room_is_still_used(new_run, answers_of, monkeypatch):
    monkeypatch.setattr(pool, "MEMORY", 1)
    run = new_run("vit")
    promise = answers_of(run)
    promise.result(timeout=60)
    assert answers_of(run) is promise


def test_while_a_run_trains_on_its_last_weights_answer_until_the_new_ones_are_loaded(new_run, answers_of, monkeypatch):
    run = new_run("vit")
    old = answers_of(run)
    old.result(timeout=60)
    gate, load = threading.Event(), pool.atelier.load
    monkeypatch.setattr(pool.atelier, "load", lambda source: gate.wait(60) and load(source))
    os.utime(run.path("best.safetensors"), (1, 1))
    assert answers_of(run) is old
    gate.set()
    (new,) = [promise for promise in pool._pool.values() if not promise.done()]
    new.result(timeout=60)
    assert answers_of(run) is new
    assert old not in pool._pool.values()
