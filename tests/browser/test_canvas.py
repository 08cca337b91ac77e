"""The pixels that `rasterise` draws are the pixels that the browser shows."""

import re
from pathlib import Path

import pytest

from tests.support.server import serve


@pytest.fixture
def canvas_app(tmp_path):
    yield from (server.address for server in serve(Path(__file__).parent / "canvas_app.py", tmp_path))


def test_rasterise_draws_what_the_browser_draws(browser, canvas_app):
    page = browser.new_page()
    page.goto(canvas_app)
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 400)
    page.mouse.down()
    for x, y in ((100, 380), (160, 420), (300, 400), (305, 330), (410, 430)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    page.get_by_text("pixels apart").wait_for()
    strokes, mean, apart = (
        float(re.search(rf"{name}: ([\d.]+)", page.inner_text("body"))[1])
        for name in ("strokes", "mean difference", "pixels apart")
    )
    assert strokes == 7
    assert mean < 1  # of 255
    assert apart < 0.0005
    page.close()
