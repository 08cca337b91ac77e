"""What people do on the Draw page, in a real browser."""

import csv
import io
import json
import statistics

import pytest
from PIL import Image
from playwright.sync_api import expect

from atelier import MODELS
from atelier.data import mnist
from tests.support.person import (
    NOTHING,
    answer,
    draw,
    drawing,
    fits,
    pen_up_to_answer,
    press,
    ready,
    revision,
    wait_until,
)


def test_every_drawn_digit_is_read(page):
    for digit in range(10):
        draw(page, drawing("a1", digit))
        assert answer(page) == str(digit)
        press(page, "Clear")
        wait_until(page, lambda: answer(page) == NOTHING and blank(page))


def test_every_network_reads_a_drawn_digit(page):
    draw(page, drawing("a1", 3))
    assert {name: answer(page, name) for name in MODELS} == dict.fromkeys(MODELS, "3")
    expect(page.get_by_text(f"All {len(MODELS)} networks say 3.")).to_be_visible()


def test_undo_and_clear(page):
    draw(page, drawing("a1", 4))
    assert answer(page) == "4"
    first = revision(page)
    press(page, "Undo")
    wait_until(page, lambda: revision(page) > first)
    press(page, "Undo")
    wait_until(page, lambda: answer(page) == NOTHING)
    draw(page, drawing("a2", 3))  # undone strokes are really gone
    assert answer(page) == "3"
    press(page, "Clear")
    wait_until(page, lambda: answer(page) == NOTHING)
    wait_until(page, lambda: blank(page))
    draw(page, drawing("a2", 5))
    assert answer(page) == "5"


def test_undo_twice_to_the_same_drawing(page):
    line, other = [[[150, 60], [150, 380]]], [[[300, 60], [300, 380]]]
    draw(page, line)
    for _ in range(2):
        draw(page, other)
        before = revision(page)
        press(page, "Undo")
        wait_until(page, lambda before=before: revision(page) > before)
        wait_until(page, lambda: not has_ink_at(page, 300, 200))
        wait_until(page, lambda: has_ink_at(page, 150, 200))


def test_undo_and_clear_by_touch(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    draw(page, drawing("a2", 7))
    assert answer(page) == "7"
    page.get_by_test_id("stButton").get_by_role("button", name="Undo").tap()
    wait_until(page, lambda: answer(page) == NOTHING)
    draw(page, drawing("a2", 0))
    assert answer(page) == "0"
    page.get_by_test_id("stButton").get_by_role("button", name="Clear").tap()
    wait_until(page, lambda: blank(page))
    assert fits(page), "the page is wider than the phone"
    context.close()


def test_drawing_and_answer_are_there_after_leaving_the_page(page):
    draw(page, drawing("a1", 2))
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="The networks")).to_be_visible()
    press(page, "Draw a digit")
    ready(page)
    wait_until(page, lambda: answer(page) == "2")
    wait_until(page, lambda: not blank(page))
    press(page, "Clear")
    wait_until(page, lambda: answer(page) == NOTHING and blank(page))


def test_answers_are_hidden_until_revealed(page):
    page.get_by_text("Hide answers").click()
    draw(page, drawing("a1", 6))
    assert answer(page) == "?"
    press(page, "Reveal")
    wait_until(page, lambda: answer(page) == "6")
    press(page, "Clear")
    wait_until(page, lambda: answer(page) == NOTHING)
    draw(page, drawing("a1", 8))
    assert answer(page) == "?"


def test_the_tally_counts_and_can_be_downloaded(page):
    for digit in (1, 9):
        draw(page, drawing("a2", digit))
        assert answer(page) == str(digit)
        page.get_by_role("group", name="True digit").or_(page.get_by_role("radiogroup", name="True digit")).get_by_text(
            str(digit), exact=True
        ).click()
        expect(page.locator(".st-key-tally")).to_contain_text("of 1" if digit == 1 else "of 2")
        press(page, "Clear")
        wait_until(page, lambda: answer(page) == NOTHING)
    expect(page.locator(".st-key-tally")).to_contain_text("2 of 2")

    with page.expect_download() as download:
        page.get_by_role("button", name="Tally (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [(row["true_digit"], row["cnn"]) for row in rows] == [("1", "1"), ("9", "9")]
    with page.expect_download() as download:
        page.get_by_role("button", name="Strokes (JSON)").click()
    strokes = json.loads(download.value.path().read_text())
    assert [entry["label"] for entry in strokes] == [1, 9]
    assert strokes[0]["strokes"][0][0] == pytest.approx(drawing("a2", 1)[0][0], abs=2)


def test_a_picture_file_is_read_and_a_wrong_file_loses_nothing(page, tmp_path):
    images, labels = mnist.load("test")
    photo, text, huge = (tmp_path / name for name in ("photo.png", "text.png", "huge.png"))
    Image.fromarray(255 - images[0]).resize((560, 560), Image.Resampling.BICUBIC).save(photo)
    text.write_text("I am not a picture")
    Image.new("1", (10_000, 5_000)).save(huge)

    page.get_by_text("Use a picture or the camera").click()
    chooser = page.get_by_test_id("stFileUploader").locator("input[type=file]")
    chooser.set_input_files(photo)
    wait_until(page, lambda: answer(page) == str(labels[0]))
    expect(page.get_by_text("True digit")).to_be_visible()  # a control that was not there; what was open stays open
    expect(page.get_by_test_id("stFileUploader")).to_be_visible()
    for wrong, sentence in ((text, "not an image"), (huge, "40 megapixels")):
        chooser.set_input_files(wrong)
        expect(page.get_by_text(sentence)).to_be_visible()
        assert answer(page) == str(labels[0])
        assert page.get_by_test_id("stException").count() == 0


def test_a_random_test_digit_shows_its_label(page):
    press(page, "Test digit")
    expect(page.get_by_text("True label")).to_be_visible()
    wait_until(page, lambda: answer(page) in set("0123456789"))


def test_a_dot_and_a_scribble_get_a_sentence(page):
    draw(page, [[[200, 200]]])
    expect(page.get_by_text("only a dot")).to_be_visible()
    assert answer(page) == NOTHING
    draw(page, [[[20 + 10 * i, 10 if i % 2 else 430] for i in range(41)]])
    expect(page.get_by_text("Too much ink")).to_be_visible()
    assert answer(page) == NOTHING


def test_the_answer_comes_soon_after_the_pen_lifts(page, pace):
    """Median under 600 ms from pen up to the answers on screen; 200 of them are the canvas's own wait."""
    draw(page, drawing("a2", 1))
    taken = pen_up_to_answer(page, 11)
    assert statistics.median(taken) < 600 * pace, taken


def test_nothing_is_asked_of_other_hosts(browser, app):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    for path in ("/", "/train", "/draw"):
        page.goto(app + path)
        page.wait_for_load_state("networkidle")
    draw(page, drawing("a1", 7))
    page.get_by_text("Use a picture or the camera").click()
    page.wait_for_timeout(1000)
    host = app.removeprefix("http://")
    assert asked
    assert [url for url in asked if host not in url and not url.startswith(("data:", "blob:"))] == []
    context.close()


def blank(page) -> bool:
    return page.evaluate(f"(pixels => pixels.length > 0 && pixels.every((value, i) => i % 4 || value < 10))({PIXELS})")


def has_ink_at(page, x: int, y: int) -> bool:
    return page.evaluate(f"({PIXELS})[4 * ({y} * 440 + {x})] > 128")


# The red, green, blue and opacity of every pixel of the canvas; none while it is being replaced.
PIXELS = """(() => {
  const find = root => root.querySelector('canvas.dc-canvas.lower-canvas')
    ?? [...root.querySelectorAll('*')].map(node => node.shadowRoot && find(node.shadowRoot)).find(Boolean);
  const canvas = find(document.querySelector('.st-key-draw_canvas'));
  return !canvas ? [] : canvas.getContext('2d').getImageData(0, 0, 440, 440).data;
})()"""
