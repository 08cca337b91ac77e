"""`rasterise` draws the pixels that the browser shows."""

import re

from tests.support.person import drag
from tests.support.server import APPS, serve


def test_rasterise_draws_the_browsers_pixels(window, tmp_path):
    with serve(APPS / "canvas_app.py", tmp_path) as server:
        window.goto(server.address)
        canvas = window.locator("canvas.upper-canvas")
        canvas.wait_for()
        box = canvas.bounding_box()
        line = [(30, 400), (65, 390), (100, 380), (160, 420), (230, 410), (300, 400), (305, 330), (410, 430)]
        drag(window, [(box["x"] + x, box["y"] + y) for x, y in line])
        results = window.get_by_test_id("stText")
        results.nth(2).wait_for()
        strokes, mean, apart = (float(re.search(r"[\d.]+", text)[0]) for text in results.all_inner_texts())
        assert strokes == 7
        assert mean < 1  # of 255
        assert apart < 0.0005
        window.goto("about:blank")
