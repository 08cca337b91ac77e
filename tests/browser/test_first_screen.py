"""How the app starts, and what ten people at once do to it."""

import statistics
import time

import pytest

from atelier import MODELS
from atelier.data.drawing import CANVAS
from tests.support.person import answer, drawing, ready, revision
from tests.support.server import ROOT, serve


@pytest.fixture
def fresh_app(tmp_path):
    """A server that nobody has visited: PyTorch is not imported, no network is loaded."""
    yield from serve(ROOT / "app.py", tmp_path)


FIRST = {
    "": "text=The networks",
    "/draw": ".st-key-draw_canvas canvas.upper-canvas",
    "/train": ".st-key-train_start button",
    "/compare": ".st-key-compare_board canvas",
}


@pytest.mark.parametrize("path", FIRST)
def test_the_first_screen_is_there_within_three_seconds(browser, fresh_app, path, pace):
    context = browser.new_context()
    page = context.new_page()
    started = time.monotonic()
    page.goto(fresh_app.address + path)
    page.locator(FIRST[path]).first.wait_for()
    assert time.monotonic() - started < 3 * pace
    assert page.get_by_role("link", name="Draw", exact=True).is_visible()  # the app's own menu, also on a deep link
    if path == "/draw":  # drawn on while the network still loads
        box = page.locator(".st-key-draw_canvas canvas.upper-canvas").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 380, steps=10)
        page.mouse.up()
        for name in MODELS:  # each appears when its own network is loaded
            page.locator(f".st-key-answer_{name}", has_text="1").wait_for(timeout=60_000)
        assert fresh_app.peak_memory() < 1.5e9
    context.close()


def test_ten_people_draw_at_once(browser, app, pace):
    """Ten windows, starts staggered, a stroke every five seconds each: no error, median under 2 s."""
    pages = [browser.new_context().new_page() for _ in range(10)]
    for page in pages:
        page.goto(f"{app}/draw")
    for page in pages:
        ready(page)
        page.evaluate(STOPWATCH)
    taken = []
    for _ in range(2):
        began = time.monotonic()
        for i, page in enumerate(pages):
            stroke = drawing("a2", 1)[0]
            box = page.locator(".st-key-draw_canvas canvas.upper-canvas").bounding_box()
            page.mouse.move(box["x"] + stroke[0][0], box["y"] + stroke[0][1])
            page.mouse.down()
            page.mouse.move(box["x"] + stroke[-1][0], min(box["y"] + stroke[-1][1], box["y"] + CANVAS), steps=5)
            page.mouse.up()
            page.wait_for_timeout(max(0, 1000 * (began + 0.5 * (i + 1) - time.monotonic())))
        for page in pages:
            page.wait_for_function("window.answered > window.penUp", timeout=20_000)
            taken.append(page.evaluate("window.answered - window.penUp"))
    assert statistics.median(taken) < 2000 * pace, taken
    for page in pages:
        assert revision(page) == 2
        assert answer(page) in set("0123456789")
        assert page.get_by_test_id("stException").count() == 0
        page.context.close()


STOPWATCH = """() => {
  window.penUp = 0; window.answered = 0;
  addEventListener('pointerup', () => { window.penUp = performance.now() }, true);
  let last = '';
  const look = () => {
    const now = document.querySelector('.st-key-draw_status')?.innerText ?? '';
    if (now && now != last) { last = now; window.answered = performance.now(); }
    requestAnimationFrame(look);
  };
  look();
}"""
