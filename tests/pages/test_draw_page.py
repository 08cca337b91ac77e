"""The Draw page. AppTest cannot draw, so the strokes are put into the session."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from atelier import MODELS, paths
from atelier.data import drawing, hands, mnist
from atelier.models import backbones
from pages.ui.cards import BLANK

DRAWINGS = json.loads(hands.STROKES.read_text())


def canvas(label=7):
    drawn = next(d for d in DRAWINGS if d["hand"] == "a1" and d["label"] == label)
    return drawing.from_polylines(drawn["strokes"], drawn["width"])


def revision(draw, text):
    return int(re.search(r"\d+", text(draw, "draw_status"))[0])


def test_first_visit_has_a_blank_canvas_and_no_answers(draw, text, keys):
    draw.run()
    assert not draw.exception
    assert {text(draw, f"answer_{name}") for name in MODELS} == {BLANK}
    assert draw.button(key="draw_canvas_undo").disabled
    assert revision(draw, text) == 0
    assert [key for key in keys(draw) if key.startswith("meant_digit")] == []


def test_every_network_has_a_card_in_the_order_of_the_registry(draw):
    draw.run()
    titles = [html.value for html in draw.html if 'class="network"' in html.value]
    assert [spec.title in title for spec, title in zip(MODELS.values(), titles, strict=False)] == [True] * len(MODELS)


def test_strokes_from_another_page_are_read_once_by_every_network(draw, text):
    draw.run()
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert {name: text(draw, f"answer_{name}") for name in MODELS} == dict.fromkeys(MODELS, "7")
    assert draw.session_state["digit"].shape == (28, 28)
    draw.run()
    assert revision(draw, text) == 1


def test_digit_set_before_the_first_run_is_read(draw, text):
    images, labels = mnist.load("test")
    draw.session_state["digit"] = images[0]
    draw.run()
    assert text(draw, "answer_cnn") == str(labels[0])


def test_undo_removes_the_last_stroke_and_clear_all(draw, text):
    draw.session_state["strokes"] = canvas(4)
    draw.run()
    count = len(draw.session_state["strokes"]["objects"])
    draw.button(key="draw_canvas_undo").click().run()
    assert len(draw.session_state["strokes"]["objects"]) == count - 1
    assert revision(draw, text) == 2
    draw.button(key="draw_canvas_clear").click().run()
    assert text(draw, "answer_cnn") == BLANK
    assert draw.session_state["digit"] is None
    assert draw.session_state["strokes"]["objects"] == []
    assert revision(draw, text) == 3


UNREADABLE = {
    "a dot": [[[200, 200]]],
    "a scribble": [[[20 + 20 * i, 10 if i % 2 else 430] for i in range(21)]],
}


@pytest.mark.parametrize("strokes", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_drawing_gets_a_message_and_no_answer(draw, text, strokes):
    draw.session_state["strokes"] = drawing.from_polylines(strokes)
    draw.run()
    assert not draw.exception
    assert draw.session_state["message"] == drawing.objection(drawing.rasterise(draw.session_state["strokes"]))
    assert text(draw, "answer_cnn") == BLANK


def test_answers_stay_hidden_until_revealed_and_hide_again_for_the_next_digit(draw, text, keys):
    draw.session_state["strokes"] = canvas()
    draw.session_state["hide_answers"] = True
    draw.run()
    assert text(draw, "answer_cnn") == "?"
    assert "%" not in text(draw, "card_cnn")
    draw.button(key="reveal").click().run()
    assert text(draw, "answer_cnn") == "7"
    draw.button(key="random_example").click().run()
    assert text(draw, "answer_cnn") == "?"
    assert "true_label" not in keys(draw)
    draw.button(key="reveal").click().run()
    assert "true_label" in keys(draw)


def test_random_example_is_a_test_digit_with_its_true_label(draw, text):
    draw.session_state["strokes"] = canvas()
    draw.run()
    draw.button(key="random_example").click().run()
    images, labels = mnist.load("test")
    (index,) = np.flatnonzero((images == draw.session_state["digit"]).all(axis=(1, 2)))
    assert draw.session_state["truth"] == labels[index]
    assert str(labels[index]) in text(draw, "true_label")
    assert draw.session_state["strokes"]["objects"] == []


def test_drawing_counts_once_and_the_meant_digit_can_be_corrected(draw, text):
    draw.session_state["strokes"] = canvas()
    draw.run()
    meant = "meant_digit_1"
    draw.segmented_control(key=meant).set_value(1).run()
    assert "0 of 1" in text(draw, "tally")
    draw.segmented_control(key=meant).set_value(7).run()
    assert "1 of 1" in text(draw, "tally")
    (entry,) = draw.session_state["tally"].values()
    assert (entry.label, entry.answers) == (7, dict.fromkeys(MODELS, 7))
    draw.segmented_control(key=meant).set_value(None).run()
    assert draw.session_state["tally"] == {}


def test_picture_is_read_and_a_file_that_is_none_changes_nothing(draw, text):
    images, labels = mnist.load("test")
    photo = io.BytesIO()
    Image.fromarray(255 - images[0]).resize((560, 560), Image.Resampling.BICUBIC).save(photo, "PNG")
    draw.run()
    uploader = draw.file_uploader(key="picture")
    uploader.set_value(("photo.png", photo.getvalue(), "image/png")).run()
    assert text(draw, "answer_cnn") == str(labels[0])
    digit = draw.session_state["digit"]
    draw.file_uploader(key="picture").set_value(("text.png", b"I am not a picture", "image/png")).run()
    assert not draw.exception
    assert draw.session_state["digit"] is digit
    assert draw.session_state["message"] != "Read from your picture."


def test_card_shows_why_a_network_cannot_be_loaded_and_notices_its_return(draw, text, monkeypatch, tmp_path):
    shipped = MODELS["alexnet"].backbone
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path / "backbones")
    (tmp_path / "alexnet.safetensors").write_bytes((shipped.parent.parent / "alexnet.safetensors").read_bytes())
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert not draw.exception
    assert text(draw, "answer_cnn") == text(draw, "answer_alexnet") == BLANK
    assert "cnn.safetensors" in text(draw, "card_cnn")
    assert "backbone" in text(draw, "card_alexnet")
    (tmp_path / "backbones").mkdir()
    MODELS["alexnet"].backbone.write_bytes(shipped.read_bytes())
    draw.run()
    assert text(draw, "answer_alexnet") == "7"
