"""How a fresh server starts, and how it serves ten visitors at once."""

import statistics
import time

import pytest

from atelier import MODELS
from atelier.data.drawing import CANVAS
from tests.support.person import answer, drag, drawing, failed, ready, revision
from tests.support.server import ROOT, serve

FIRST = {  # what the first screen of each page shows
    "": ".st-key-network_cnn",
    "/draw": ".st-key-draw_canvas canvas.upper-canvas",
    "/train": ".st-key-train_start button",
    "/inside": ".st-key-another_digit button",
    "/compare": ".st-key-compare_board canvas",
}


@pytest.fixture
def fresh_app(tmp_path):
    """A server without visitors: PyTorch is not imported, no network is loaded."""
    with serve(ROOT / "app.py", tmp_path) as server:
        yield server


def test_first_request_of_a_fresh_server_may_be_any_page(window, fresh_app):
    """Streamlit would run the page's script without app.py, and so without the menu and the session's defaults."""
    window.goto(f"{fresh_app.address}/compare")
    window.locator(FIRST["/compare"]).first.wait_for()
    assert window.locator("header a[href$='/draw']").first.is_visible()
    assert not failed(window)


@pytest.mark.slow
@pytest.mark.parametrize("path", FIRST)
def test_first_screen_appears_within_three_seconds(window, fresh_app, path, pace):
    started = time.monotonic()
    window.goto(fresh_app.address + path)
    window.locator(FIRST[path]).first.wait_for()
    assert time.monotonic() - started < 3 * pace
    if path == "/draw":  # the visitor draws while the networks load
        box = window.locator(FIRST[path]).bounding_box()
        drag(window, [(box["x"] + 200, box["y"] + 60 + 32 * step) for step in range(11)])
        for name in MODELS:
            window.locator(f".st-key-answer_{name}", has_text="1").wait_for(timeout=60_000)
        assert fresh_app.peak_memory() < 1.5e9


@pytest.mark.slow
def test_ten_visitors_draw_at_once(browser, app, pace):
    """A stroke every five seconds in each of ten windows: no error, median below 2 s."""
    pages = [browser.new_context().new_page() for _ in range(10)]
    for page in pages:
        page.goto(f"{app}/draw")
    for page in pages:
        ready(page)
        page.evaluate(STOPWATCH)
    times = []
    stroke = drawing("a2", 1)[0]
    for _ in range(2):
        began = time.monotonic()
        for i, page in enumerate(pages):
            box = page.locator(".st-key-draw_canvas canvas.upper-canvas").bounding_box()
            bottom = min(box["y"] + stroke[-1][1], box["y"] + CANVAS)
            drag(page, [(box["x"] + stroke[0][0], box["y"] + stroke[0][1]), (box["x"] + stroke[-1][0], bottom)])
            page.wait_for_timeout(max(0, 1000 * (began + 0.5 * (i + 1) - time.monotonic())))
        for page in pages:
            page.wait_for_function("window.answered > window.penUp", timeout=20_000)
            times.append(page.evaluate("window.answered - window.penUp"))
    assert statistics.median(times) < 2000 * pace, times
    for page in pages:
        assert revision(page) == 2
        assert answer(page) in set("0123456789")
        assert not failed(page)


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
