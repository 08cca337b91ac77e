"""The wide canvas of the Draw page. AppTest cannot draw, so the strokes are put into the session."""

import json

import pytest

import atelier
from atelier.data import drawing, hands

DRAWINGS = json.loads(hands.STROKES.read_text())
NOTHING = "–"


def number(text, apart=200.0):
    """Strokes of a hand's digits, side by side on the wide canvas; `apart` pixels from one to the next."""
    strokes = []
    for place, digit in enumerate(text):
        written = next(d["strokes"] for d in DRAWINGS if d["hand"] == "a1" and d["label"] == int(digit))
        strokes += [[[40 + apart * place + 0.5 * x, 20 + 0.5 * y] for x, y in stroke] for stroke in written]
    return drawing.from_polylines(strokes, drawing.WIDE_PEN)


def read(draw, strokes):
    draw.session_state["scene_strokes"] = strokes
    draw.run()
    assert not draw.exception
    return draw


@pytest.mark.parametrize("digits", ["2026", "314", "5"])
def test_a_number_is_read_by_boxes_and_by_pieces(draw, text, digits):
    read(draw, number(digits))
    assert text(draw, "scene_reading") == digits
    assert text(draw, "scene_pieces") == digits
    notes = " ".join(html.value for html in draw.html)
    assert f"Boxes: {len(digits)}" in notes
    assert "The whole picture as one digit" in notes


def test_touching_digits_are_one_piece_but_two_boxes(draw, text):
    read(draw, number("20", apart=76.0))
    assert text(draw, "scene_reading") == "20"
    assert len(text(draw, "scene_pieces")) == 1


def test_the_slider_leaves_out_what_is_not_sure_enough(draw, text):
    """Two digits that lie over each other are found, but not for sure."""
    read(draw, number("58", apart=35.0))
    found = atelier.load("faster_rcnn", "cpu").detect(draw.session_state["scene"])
    counts = {}
    for confidence in (0.05, 0.5, 0.95):
        draw.slider[0].set_value(confidence).run()
        shown = text(draw, "scene_reading").replace(NOTHING, "")
        assert shown == found.above(confidence).reading
        counts[confidence] = len(shown)
    assert counts[0.05] > counts[0.95]


def test_a_blank_canvas_has_no_reading(draw, text):
    draw.run()
    assert not draw.exception
    assert text(draw, "scene_reading") == text(draw, "scene_pieces") == NOTHING


def test_a_random_scene_tells_its_true_digits(draw, text):
    draw.run()
    (button,) = [b for b in draw.button if b.label == "Random test scene"]
    button.click().run()
    assert not draw.exception
    truth = draw.session_state["scene_truth"]
    assert truth
    assert any(markdown.value == f"True digits: **{truth}**" for markdown in draw.markdown)


def test_taking_back_and_starting_over(draw, text):
    read(draw, number("62"))
    (back,) = [b for b in draw.button if b.label == "Take back"]
    back.click().run()
    assert text(draw, "scene_reading") == "6"
    (over,) = [b for b in draw.button if b.label == "Start over"]
    over.click().run()
    assert text(draw, "scene_reading") == NOTHING
    assert draw.session_state["scene"] is None


def test_the_two_canvases_do_not_disturb_each_other(draw, text):
    draw.session_state["strokes"] = drawing.from_polylines([[[220, 60], [220, 380]]])
    read(draw, number("20"))
    assert text(draw, "answer_cnn") == "1"
    (over,) = [b for b in draw.button if b.label == "Start over"]
    over.click().run()
    assert text(draw, "answer_cnn") == "1"
    assert text(draw, "draw_status") == "Revision 1"
