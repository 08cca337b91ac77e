"""What a visitor does on the Draw page, and what the page then shows."""

import json
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page

from atelier.data import hands
from atelier.data.drawing import CANVAS

BLANK = "–"  # the answer to a blank canvas
DRAWINGS = json.loads(hands.STROKES.read_text())


def drawing(hand: str, label: int) -> list[list[list[float]]]:
    """Every third point of a recorded digit: a browser takes 16 ms for each."""
    strokes = next(d["strokes"] for d in DRAWINGS if d["hand"] == hand and d["label"] == label)
    return [[*stroke[:-1:3], stroke[-1]] for stroke in strokes]


def ready(page: Page) -> None:
    """Wait until the canvas and all five answers are there."""
    page.locator(".st-key-draw_canvas canvas.upper-canvas").wait_for()
    page.locator(".st-key-draw_status p").wait_for()


def draw(page: Page, strokes: list[list[list[float]]]) -> None:
    """Draw strokes, given in canvas pixels, with the mouse, and wait for the answers to the last one."""
    before = revision(page)
    surface = page.locator(".st-key-draw_canvas canvas.upper-canvas")
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    box = surface.bounding_box()
    scale = box["width"] / CANVAS
    for stroke in strokes:
        drag(page, [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke])
    wait_until(page, lambda: revision(page) > before)
    while len(strokes) > 1 and revision(page) != before:
        before = revision(page)
        page.wait_for_timeout(700)


def drag(page: Page, points: list[tuple[float, float]]) -> None:
    """Move the mouse along these points with its button down."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def revision(page: Page) -> int:
    return int(page.locator(".st-key-draw_status").inner_text().split()[-1])


def answer(page: Page, network: str = "cnn") -> str:
    return page.locator(f".st-key-answer_{network}").inner_text().strip()


def wait_until(page: Page, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the expected change did not happen"
        page.wait_for_timeout(20)


def button(page: Page, key: str) -> Locator:
    """The button with this key."""
    return page.locator(f".st-key-{key} button").first


def press(page: Page, key: str) -> None:
    """Press the button with this key, and give the page time to begin its response."""
    button(page, key).click()
    page.wait_for_timeout(300)


def go(page: Page, path: str) -> None:
    """Follow the menu's link to a page; "" is Home."""
    page.locator(f"header a[href$='/{path}'], header a[href*='/{path}?']").first.click()


def fits(page: Page) -> bool:
    """Whether nothing on the page is wider than the window; otherwise its main part would scroll sideways."""
    return page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")


def failed(page: Page) -> bool:
    """Whether the page shows an exception."""
    return page.get_by_test_id("stException").count() > 0


def pen_up_to_answer(page: Page, strokes: int) -> list[float]:
    """Draw short strokes; milliseconds from each pen-up to all answers on the page."""
    page.evaluate("addEventListener('pointerup', () => { window.penUp = performance.now() }, true)")
    box, times = page.locator(".st-key-draw_canvas canvas.upper-canvas").bounding_box(), []
    for i in range(strokes):
        before, x, y = revision(page), box["x"] + 40 + 30 * i, box["y"] + 30
        drag(page, [(x, y + 10 * step) for step in range(6)])
        times.append(page.evaluate(PEN_UP_TO_ANSWER, before))
        page.wait_for_timeout(300)
    return times


PEN_UP_TO_ANSWER = """before => new Promise(done => {
  const up = window.penUp, status = () => document.querySelector('.st-key-draw_status')?.innerText ?? '';
  const look = () => parseInt(status().split(' ').pop()) > before
    ? done(performance.now() - up) : requestAnimationFrame(look);
  look();
})"""
