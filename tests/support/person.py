"""What a person does on the Draw page, and sees there."""

import json
import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from atelier.data import hands
from atelier.data.drawing import CANVAS

NOTHING = "–"  # the answer to a blank canvas
DRAWINGS = json.loads(hands.STROKES.read_text())


def ready(page: Page) -> None:
    page.locator(".st-key-draw_canvas canvas.upper-canvas").wait_for()
    expect(page.locator(".st-key-draw_status")).to_contain_text("Revision")


def drawing(hand: str, label: int) -> list[list[list[float]]]:
    """Every second point of a hand's recorded digit: a browser wants 16 ms for each."""
    strokes = next(d["strokes"] for d in DRAWINGS if d["hand"] == hand and d["label"] == label)
    return [[*stroke[:-1:2], stroke[-1]] for stroke in strokes]


def draw(page: Page, strokes: list[list[list[float]]]) -> None:
    """Draw strokes, given in canvas pixels, with the mouse, and wait until they have been read."""
    before = revision(page)
    surface = page.locator(".st-key-draw_canvas canvas.upper-canvas")
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    box = surface.bounding_box()
    scale = box["width"] / CANVAS
    for stroke in strokes:
        page.mouse.move(box["x"] + stroke[0][0] * scale, box["y"] + stroke[0][1] * scale)
        page.mouse.down()
        for x, y in stroke[1:]:
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
        page.mouse.up()
    wait_until(page, lambda: revision(page) > before)
    while len(strokes) > 1 and revision(page) != before:  # until the last stroke has been read, too
        before = revision(page)
        page.wait_for_timeout(700)


def revision(page: Page) -> int:
    return int(page.locator(".st-key-draw_status").inner_text().split()[-1])


def answer(page: Page, network: str = "cnn") -> str:
    return page.locator(f".st-key-answer_{network}").inner_text().strip()


def wait_until(page: Page, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        page.wait_for_timeout(20)


def pen_up_to_answer(page: Page, strokes: int) -> list[float]:
    """Draw so many short strokes; milliseconds from each pen up to all answers on screen."""
    page.evaluate("addEventListener('pointerup', () => { window.penUp = performance.now() }, true)")
    box, taken = page.locator(".st-key-draw_canvas canvas.upper-canvas").bounding_box(), []
    for i in range(strokes):
        before, x = revision(page), box["x"] + 40 + 30 * i
        page.mouse.move(x, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(x, box["y"] + 80, steps=5)
        page.mouse.up()
        taken.append(page.evaluate(PEN_UP_TO_ANSWER, before))
        page.wait_for_timeout(300)
    return taken


PEN_UP_TO_ANSWER = """before => new Promise(done => {
  const up = window.penUp, status = () => document.querySelector('.st-key-draw_status')?.innerText ?? '';
  const look = () => parseInt(status().split(' ').pop()) > before
    ? done(performance.now() - up) : requestAnimationFrame(look);
  look();
})"""


def press(page: Page, name: str) -> None:
    """Press one of the page's own buttons (the canvas has some of the same names), and look up again."""
    page.get_by_test_id("stButton").get_by_role("button", name=name).click()
    page.wait_for_timeout(300)


def fits(page: Page) -> bool:
    """Whether nothing on the page is wider than the window: the page's main part, which scrolls up and down, would then
    scroll sideways, too."""
    return page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
