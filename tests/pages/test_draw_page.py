import json

import numpy as np
import pytest

from atelier import MODELS, paths
from atelier.data import drawing, hands, mnist
from atelier.models import backbones

DRAWINGS = json.loads(hands.STROKES.read_text())
SEVEN = next(d for d in DRAWINGS if d["hand"] == "a1" and d["label"] == 7)
NOTHING = "–"


def canvas(d=SEVEN):
    return drawing.from_polylines(d["strokes"], d["width"])


def button(app, label):
    (found,) = [b for b in app.button if b.label == label]
    return found


def message(app):
    return app.markdown[0].value


def test_a_first_visit_asks_for_a_digit(draw, text):
    draw.run()
    assert not draw.exception
    assert text(draw, "answer_cnn") == NOTHING
    assert "Draw a digit" in message(draw)
    assert button(draw, "Undo").disabled
    assert text(draw, "draw_status") == "Revision 0"


@pytest.mark.parametrize("model", MODELS)
def test_strokes_carried_from_another_page_are_read(draw, text, model):
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert not draw.exception
    assert text(draw, f"answer_{model}") == "7"
    assert text(draw, "draw_status") == "Revision 1"
    assert draw.session_state["digit"].shape == (28, 28)


def test_strokes_that_change_while_the_page_is_open_are_read(draw, text):
    draw.run()
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert text(draw, "answer_cnn") == "7"
    draw.run()
    assert text(draw, "draw_status") == "Revision 1"  # read once


def test_a_digit_carried_from_another_page_is_read(draw, text):
    images, labels = mnist.load("test")
    draw.session_state["digit"] = images[0]
    draw.run()
    assert text(draw, "answer_cnn") == str(labels[0])


def test_undo_takes_the_last_stroke_back_and_clear_all(draw, text):
    four = next(d for d in DRAWINGS if d["hand"] == "a1" and d["label"] == 4)
    draw.session_state["strokes"] = canvas(four)
    draw.run()
    count = len(four["strokes"])
    button(draw, "Undo").click().run()
    assert len(draw.session_state["strokes"]["objects"]) == count - 1
    assert text(draw, "draw_status") == "Revision 2"
    button(draw, "Clear").click().run()
    assert text(draw, "answer_cnn") == NOTHING
    assert draw.session_state["digit"] is None
    assert draw.session_state["strokes"]["objects"] == []
    assert text(draw, "draw_status") == "Revision 3"


def test_undo_of_the_only_stroke_leaves_a_blank_canvas(draw, text):
    draw.session_state["strokes"] = drawing.from_polylines([[[200, 50], [200, 390]]])
    draw.run()
    assert text(draw, "answer_cnn") == "1"
    button(draw, "Undo").click().run()
    assert text(draw, "answer_cnn") == NOTHING
    assert "Draw a digit" in message(draw)


UNREADABLE = {
    "only a dot": [[[200, 200]]],
    "Too much ink": [[[20 + 20 * i, 10 if i % 2 else 430] for i in range(21)]],
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_what_is_no_digit_gets_a_sentence(draw, text, sentence):
    draw.session_state["strokes"] = drawing.from_polylines(UNREADABLE[sentence])
    draw.run()
    assert not draw.exception
    assert sentence in message(draw)
    assert text(draw, "answer_cnn") == NOTHING


def test_answers_stay_hidden_until_revealed_and_hide_again_for_the_next_drawing(draw, text):
    draw.session_state["strokes"] = canvas()
    draw.session_state["hide_answers"] = True
    draw.run()
    assert text(draw, "answer_cnn") == "?"
    assert "sure" not in " ".join(html.value for html in draw.html)
    button(draw, "Reveal").click().run()
    assert text(draw, "answer_cnn") == "7"
    button(draw, "Test digit").click().run()
    assert text(draw, "answer_cnn") == "?"
    assert not any("True label" in markdown.value for markdown in draw.markdown)
    button(draw, "Reveal").click().run()
    assert any("True label" in markdown.value for markdown in draw.markdown)


def test_a_test_digit_comes_with_its_true_label(draw):
    draw.run()
    button(draw, "Test digit").click().run()
    images, labels = mnist.load("test")
    index = int(message(draw).split("number ")[1].split(" ")[0].replace(",", ""))
    assert np.array_equal(draw.session_state["digit"], images[index])
    assert any(markdown.value == f"True label: **{labels[index]}**" for markdown in draw.markdown)


def test_the_tally_counts_each_drawing_once(draw, text):
    draw.session_state["strokes"] = canvas()
    draw.run()
    draw.segmented_control(key="true_digit_1").set_value(1).run()
    assert "0 of 1" in text(draw, "tally")
    draw.segmented_control(key="true_digit_1").set_value(7).run()  # a slip, corrected
    assert "1 of 1" in text(draw, "tally")
    draw.segmented_control(key="true_digit_1").set_value(None).run()
    assert draw.session_state["tally"] == {}


def test_every_network_has_a_card_in_the_order_of_the_registry(draw):
    draw.run()
    heads = [html.value for html in draw.html if 'class="network"' in html.value]
    assert [spec.title in head for spec, head in zip(MODELS.values(), heads, strict=False)] == [True] * len(MODELS)


def test_a_missing_checkpoint_is_said_on_its_card(draw, text, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert not draw.exception
    assert text(draw, "answer_cnn") == NOTHING
    assert any("no checkpoint cnn.safetensors" in html.value for html in draw.html)


def test_a_missing_backbone_is_said_and_noticed_when_it_is_back(draw, text, monkeypatch, tmp_path):
    shipped = MODELS["alexnet"].backbone
    monkeypatch.setattr(paths, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path / "backbones")
    (tmp_path / "alexnet.safetensors").write_bytes((shipped.parent.parent / "alexnet.safetensors").read_bytes())
    draw.session_state["strokes"] = canvas()
    draw.run()
    assert text(draw, "answer_alexnet") == NOTHING
    assert any("glyphs backbone" in html.value and "copy it again" in html.value for html in draw.html)
    (tmp_path / "backbones").mkdir()
    MODELS["alexnet"].backbone.write_bytes(shipped.read_bytes())
    draw.run()
    assert text(draw, "answer_alexnet") == "7"
