"""Several digits on the wide canvas, in a real browser."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from atelier.data import scenes
from atelier.data.drawing import WIDE_CANVAS
from tests.support.person import drawing, fits, press, ready, wait_until

NOTHING = "–"


def write(page, number, apart=200.0):
    """Write a number on the wide canvas with the mouse."""
    surface = page.locator(".st-key-scene_canvas canvas.upper-canvas")
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    box = surface.bounding_box()
    scale = box["width"] / WIDE_CANVAS[0]
    for place, digit in enumerate(number):
        for stroke in drawing("a1", int(digit)):
            points = [
                (box["x"] + scale * (40 + apart * place + 0.5 * x), box["y"] + scale * (20 + 0.5 * y))
                for x, y in stroke
            ]
            page.mouse.move(*points[0])
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*point)
            page.mouse.up()
            page.wait_for_timeout(50)


def reading(page):
    return page.locator(".st-key-scene_reading").inner_text().split("\n")[0].strip()


def test_a_written_number_is_read_and_stays_after_leaving_the_page(page):
    write(page, "2026")
    wait_until(page, lambda: reading(page) == "2026")
    expect(page.get_by_text("Boxes: 4")).to_be_visible()
    expect(page.get_by_text("Connected pieces: 4")).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="The networks")).to_be_visible()
    press(page, "Draw a digit")
    ready(page)
    wait_until(page, lambda: reading(page) == "2026")
    press(page, "Start over")
    wait_until(page, lambda: reading(page) == NOTHING)


def test_the_slider_changes_how_many_boxes_are_shown(page):
    write(page, "58", apart=35.0)  # lie over each other: found, but not for sure
    wait_until(page, lambda: reading(page) != NOTHING)
    handle = page.get_by_role("slider", name="Confidence")
    handle.focus()
    shown = {}
    for key in ("Home", "End"):
        handle.press(key)
        page.wait_for_timeout(1500)
        shown[handle.input_value()] = len(reading(page).replace(NOTHING, ""))
    assert list(shown) == ["0.05", "0.95"]
    assert shown["0.05"] > shown["0.95"]


def test_a_random_scene_shows_its_true_digits(page):
    press(page, "Random test scene")
    expect(page.get_by_text("True digits")).to_be_visible()
    wait_until(page, lambda: reading(page) != NOTHING)
    assert page.get_by_test_id("stException").count() == 0


def test_a_number_on_paper_is_read(page, tmp_path):
    scene = next(s for s in scenes.measuring_scenes() if len(s.labels) == 3 and len(scenes.pieces(s.picture)) == 3)
    photo = tmp_path / "photo.png"
    paper = np.pad(255 - scene.picture, 40, constant_values=255)
    Image.fromarray(paper).resize((paper.shape[1] * 3, paper.shape[0] * 3), Image.Resampling.BICUBIC).save(photo)
    page.get_by_role("button", name="A number on paper").click()
    page.get_by_test_id("stFileUploader").last.locator("input[type=file]").set_input_files(photo)
    wait_until(page, lambda: sorted(reading(page)) == sorted(scene.reading))


@pytest.mark.parametrize("width", [320, 390, 700])
def test_the_wide_canvas_fits_a_phone(browser, app, width):
    context = browser.new_context(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    assert fits(page)
    write(page, "2026")
    wait_until(page, lambda: reading(page) == "2026")
    context.close()
