"""Look inside, as a visitor uses it."""

from collections.abc import Callable, Iterable
from functools import partial

import pytest
from playwright.sync_api import Page, expect

from atelier import MODELS
from tests.support.person import button, draw, drawing, failed, fits, go, press, wait_until
from tests.support.server import APPS, serve

VIEWS = ("all", "convolutions", "transformer", "detector")
PARTS = {  # of the view of all networks, in the page's order, and what each shows
    "perturbations": "[class*=st-key-inside_changed]",
    "adversarial": ".st-key-inside_fooled .main-svg",
    "neighbours": ".st-key-inside_nearest .main-svg",
    "architecture": ".st-key-inside_architecture",
}


def figure(page: Page, key: str):
    plot = page.locator(f".st-key-{key} .figure")
    plot.locator(".main-svg").first.wait_for(timeout=60_000)
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    return plot


def click(page: Page, key: str, across: float, down: float) -> None:
    """Click a figure at these shares of its plot."""
    box = figure(page, key).locator(".nsewdrag").first.bounding_box()
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def alt(page: Page, key: str) -> str:
    return page.locator(f".st-key-{key} .figure").get_attribute("aria-label")


def option(page: Page, key: str, place: int):
    """An option of a segmented control by its place."""
    return page.locator(f".st-key-{key} [role=radio]").nth(place)


def test_drawn_digit_is_explained_in_every_view(page):
    draw(page, drawing("a1", 4))
    pixels = page.locator(".st-key-network_input img").get_attribute("src")
    go(page, "inside")
    for name in MODELS:
        expect(page.locator(f".st-key-evidence_{name}")).to_contain_text("4, ", timeout=60_000)
        expect(page.locator(f".st-key-evidence_{name} img")).to_be_visible()
    assert page.locator(".st-key-inside_digit img").get_attribute("src") == pixels
    for place, shown in enumerate(PARTS.values()):
        option(page, "ask", place).click()
        page.locator(shown).first.wait_for(timeout=60_000)

    option(page, "view", VIEWS.index("transformer")).click()
    click(page, "inside_looks", 0.7, 0.5)
    wait_until(page, lambda: "patch" in alt(page, "inside_looks"))
    click(page, "inside_heads", 0.1, 0.42)
    wait_until(page, lambda: "layer 3, head 1" in alt(page, "inside_looks"))

    option(page, "view", VIEWS.index("convolutions")).click()
    for key in ("inside_conv_why", "inside_conv_compared"):
        expect(figure(page, key).locator(".infolayer [class^=cb]").first).to_be_visible()  # a legend

    option(page, "view", VIEWS.index("detector")).click()
    for number in (2, 3):
        button(page, "inside_next").click()
        expect(page.get_by_role("heading", name=f"{number}. ")).to_be_visible()
    scores = figure(page, "inside_anchor_scores")
    before = scores.evaluate("plot => plot.layout.title.text")
    click(page, "inside_anchors", 0.97, 0.1)  # where the scene is empty
    wait_until(page, lambda: scores.evaluate("plot => plot.layout.title.text") != before)
    assert not failed(page)


@pytest.mark.slow
def test_detector_on_a_phone(phone, app):
    phone.goto(f"{app}/inside?view=detector")
    assert figure(phone, "inside_picture").bounding_box()["height"] < 300  # three times as wide as high
    assert figure(phone, "inside_strip").bounding_box()["width"] >= 700  # legible: it scrolls sideways
    assert fits(phone)
    button(phone, "inside_next").tap()
    expect(phone.get_by_role("heading", name="2. ")).to_be_visible()
    assert fits(phone)
    phone.goto(f"{app}/inside?ask=adversarial")
    figure(phone, "inside_fooled")
    assert fits(phone)

    phone.goto(f"{app}/inside?view=detector&inside_step=boxes")
    option(phone, "inside_truth", -1).tap()  # the visitor draws the boxes
    box = phone.locator(".st-key-inside_true_boxes .upper-canvas")
    box.scroll_into_view_if_needed()
    phone.wait_for_timeout(1000)
    swipe(phone, box.bounding_box(), (0.1, 0.2), (0.3, 0.8))
    phone.locator(".st-key-inside_how_good").wait_for()


@pytest.mark.slow
def test_clicks_are_answered_within_half_a_second(window, app, pace):
    page = window
    page.goto(f"{app}/inside")
    page.wait_for_function("() => window.Plotly", timeout=60_000)  # before any figure needs it
    for name in MODELS:
        page.locator(f".st-key-evidence_{name} img").wait_for(timeout=60_000)
    page.wait_for_timeout(4000)  # the page computes ahead
    times = {}

    def measure(name: str, act: Callable[[], None], shown: str) -> None:
        page.evaluate(CLICK_TO_ANSWER, shown)
        act()
        times[name] = page.evaluate("window.answered")
        page.wait_for_timeout(2000)

    def choose(key: str, options: Iterable[str], name: str) -> Callable[[], None]:
        return option(page, key, list(options).index(name)).click

    def click_on(key: str, across: float) -> Callable[[], None]:
        box = figure(page, key).locator(".nsewdrag").first.bounding_box()
        return partial(page.mouse.click, box["x"] + across * box["width"], box["y"] + 0.5 * box["height"])

    drawn, value = "document.querySelectorAll('.st-key-{} .main-svg').length", "document.querySelector('{}')?.{}"
    press(page, "another_digit")
    number = page.locator(".st-key-digit_number input")
    number.fill("18")
    measure("another digit", partial(number.press, "Enter"), value.format(".st-key-evidence_vit img", "src"))
    page.keyboard.press("Escape")
    page.wait_for_timeout(2000)
    for part, key in (("adversarial", "inside_fooled"), ("neighbours", "inside_nearest")):
        measure(part, choose("ask", PARTS, part), drawn.format(key))
    measure("transformer", choose("view", VIEWS, "transformer"), drawn.format("inside_station_1"))
    attention = value.format(".st-key-inside_looks .figure", "layout.title.text")
    for across in (0.3, 0.7):
        measure(f"patch at {across}", click_on("inside_looks", across), attention)
    measure("convolutions", choose("view", VIEWS, "convolutions"), drawn.format("inside_conv_maps"))
    why = value.format(".st-key-inside_conv_why .figure", "layout?.title.text")
    count = page.locator(".st-key-inside_conv_method [role=radio]").count()
    for place in reversed(range(1, count)):
        measure(f"method {place}", option(page, "inside_conv_method", place).click, why)
    measure("detector", choose("view", VIEWS, "detector"), drawn.format("inside_picture"))
    heading = "[...document.querySelectorAll('h3')].map(heading => heading.innerText).join()"
    measure("next step", button(page, "inside_next").click, heading)
    assert max(times.values()) < 500 * pace, times


# Milliseconds from the next click or Enter to the frame in which an expression has another value.
CLICK_TO_ANSWER = """expression => {
  const shown = () => eval(expression), before = shown()
  window.answered = new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`a click changed nothing: ${expression}`)), 20000)
    const acted = ({ type, key }) => {
      if (type === 'keydown' && key !== 'Enter') return
      const start = performance.now()
      const look = () => shown() !== before ? done(performance.now() - start) : requestAnimationFrame(look)
      look()
      for (const event of ['pointerdown', 'keydown']) removeEventListener(event, acted, true)
    }
    for (const event of ['pointerdown', 'keydown']) addEventListener(event, acted, true)
  })
}"""


@pytest.mark.slow
def test_click_during_loading_is_answered_at_once(window, tmp_path):
    with serve(APPS / "loading_app.py", tmp_path) as server:
        window.goto(server.address)
        window.locator(".st-key-loading").wait_for()
        button(window, "click").click()
        expect(window.locator(".st-key-clicks_shown")).to_have_text("1")
        assert window.locator(".st-key-loading").is_visible()
        window.locator(".st-key-loaded").wait_for()  # without another click
        expect(window.locator(".st-key-clicks_shown")).to_have_text("1")
        window.goto("about:blank")


def swipe(page: Page, box: dict, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Move a finger from start to end, given as shares of the box."""
    finger = page.context.new_cdp_session(page)
    for step in range(11):
        right, down = (a + (b - a) * step / 10 for a, b in zip(start, end, strict=True))
        point = {"x": box["x"] + right * box["width"], "y": box["y"] + down * box["height"]}
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove" if step else "touchStart", "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
