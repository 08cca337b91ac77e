"""Several digits on the wide canvas."""

import pytest

from atelier.data.drawing import WIDE_CANVAS
from tests.support.person import BLANK, drag, drawing, failed, fits, go, press, ready, wait_until


def write(page, number: str) -> None:
    """Write a number on the wide canvas with the mouse."""
    surface = page.locator(".st-key-scene_canvas canvas.upper-canvas")
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    box = surface.bounding_box()
    scale = box["width"] / WIDE_CANVAS[0]
    for place, digit in enumerate(number):
        for stroke in drawing("a1", int(digit)):
            left = 40 + 200 * place
            drag(page, [(box["x"] + scale * (left + 0.5 * x), box["y"] + scale * (20 + 0.5 * y)) for x, y in stroke])
            page.wait_for_timeout(50)


def reading(page) -> str:
    return page.locator(".st-key-scene_reading").inner_text().split("\n")[0].strip()


def test_written_number_and_random_scene_are_read(page):
    write(page, "2026")
    pieces = page.locator(".st-key-scene_pieces")
    wait_until(page, lambda: reading(page) == "2026" and pieces.inner_text().strip() == "2026")
    go(page, "")
    page.locator(".st-key-network_cnn").wait_for()
    go(page, "draw")
    ready(page)
    wait_until(page, lambda: reading(page) == "2026")
    press(page, "scene_canvas_clear")
    wait_until(page, lambda: reading(page) == BLANK)
    press(page, "random_scene")
    page.locator(".st-key-scene_truth_label").wait_for()
    wait_until(page, lambda: reading(page) != BLANK)
    assert not failed(page)


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 700])
def test_wide_canvas_fits_a_phone(phone, app, width):
    phone.set_viewport_size({"width": width, "height": 844})
    phone.goto(f"{app}/draw")
    ready(phone)
    assert fits(phone)
    write(phone, "2026")
    wait_until(phone, lambda: reading(phone) == "2026")
