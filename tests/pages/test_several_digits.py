"""The wide canvas of the Draw page. AppTest cannot draw, so the strokes are put into the session."""

import io
import json
from concurrent.futures import Future

import numpy as np
import pytest
from PIL import Image

from atelier import MODELS
from atelier.classifier import Detections
from atelier.data import drawing, hands, scenes
from pages.ui import networks
from pages.ui.cards import BLANK

DRAWINGS = json.loads(hands.STROKES.read_text())


def number(text, apart=200.0):
    """Strokes of recorded digits side by side on the wide canvas, `apart` pixels from one to the next."""
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


class Fake:
    """Every network of the page: a sure 3 and an unsure 5 as boxes, one piece that is a 3, every digit a 3."""

    def __init__(self, name):
        self.spec = MODELS[name]

    def detect(self, scene):
        boxes, scores = np.array([[0, 0, 20, 20], [40, 0, 60, 20]], np.float32), np.array([0.9, 0.6], np.float32)
        return Detections(boxes, np.array([3, 5]), scores, np.eye(10, dtype=np.float32)[[3, 5]])

    def read_pieces(self, scene):
        return self.detect(scene).above(0.8)

    def predict_proba(self, digits):
        return np.tile(np.eye(10, dtype=np.float32)[3], (len(digits), 1))


@pytest.fixture
def fakes(monkeypatch):
    futures = {name: Future() for name in MODELS}
    for name, future in futures.items():
        future.set_result(Fake(name))
    monkeypatch.setattr(networks, "load", futures.get)


def test_shipped_networks_read_a_number(draw, text):
    read(draw, number("2026"))
    assert text(draw, "scene_reading") == text(draw, "scene_pieces") == "2026"


def test_slider_hides_boxes_with_less_confidence(draw, text, keys, fakes):
    read(draw, number("35"))
    readings = {}
    for confidence in (0.05, 0.75, 0.95):
        draw.slider(key="scene_confidence").set_value(confidence).run()
        readings[confidence] = text(draw, "scene_reading")
        assert "scene_differs" in keys(draw)  # whatever the slider hides
    assert readings == {0.05: "35", 0.75: "3", 0.95: BLANK}
    assert text(draw, "scene_pieces") == "3"


def test_blank_canvas_has_no_reading(draw, text, keys, fakes):
    draw.run()
    assert not draw.exception
    assert text(draw, "scene_reading") == text(draw, "scene_pieces") == BLANK
    assert "scene_differs" not in keys(draw)


def test_random_scene_shows_its_true_digits(draw, text, fakes):
    draw.run()
    draw.button(key="random_scene").click().run()
    assert draw.session_state["scene_truth"]
    assert draw.session_state["scene_truth"] in text(draw, "scene_truth_label")


def test_photo_of_a_number_becomes_the_scene(draw, fakes):
    scene = next(s for s in scenes.measuring_scenes() if len(s.labels) == 3)
    photo, paper = io.BytesIO(), np.pad(255 - scene.picture, 40, constant_values=255)
    Image.fromarray(paper).resize((paper.shape[1] * 3, paper.shape[0] * 3), Image.Resampling.BICUBIC).save(photo, "PNG")
    draw.run()
    draw.file_uploader(key="scene_file").set_value(("photo.png", photo.getvalue(), "image/png")).run()
    assert draw.session_state["scene"].max() == 255
    kept = draw.session_state["scene"]
    draw.file_uploader(key="scene_file").set_value(("text.png", b"no picture", "image/png")).run()
    assert not draw.exception
    assert draw.session_state["scene"] is kept


def test_canvases_have_undo_and_clear_of_their_own(draw, text, fakes):
    draw.session_state["strokes"] = drawing.from_polylines([[[220, 60], [220, 380]]])
    read(draw, number("61"))
    before = text(draw, "draw_status")
    count = len(draw.session_state["scene_strokes"]["objects"])
    draw.button(key="scene_canvas_undo").click().run()
    assert len(draw.session_state["scene_strokes"]["objects"]) == count - 1
    draw.button(key="scene_canvas_clear").click().run()
    assert draw.session_state["scene"] is None
    assert text(draw, "scene_reading") == BLANK
    assert len(draw.session_state["strokes"]["objects"]) == 1
    assert text(draw, "draw_status") == before


@pytest.mark.parametrize("missing", ["faster_rcnn", "cnn"])
def test_section_needs_a_detector_and_a_classifier(draw, keys, fakes, missing):
    del MODELS[missing]
    draw.run()
    assert not draw.exception
    assert "scene_canvas" not in keys(draw)
