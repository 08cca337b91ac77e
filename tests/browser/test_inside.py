"""Look inside, as a person uses it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from atelier import MODELS
from tests.support.person import draw, drawing, fits, wait_until
from tests.support.server import serve

ALL_FIVE = {  # what can be asked of them, and the question that it leads to
    "What fools them": "What if somebody knows the network",
    "What they find alike": "Which digits does it find most like this one?",
    "What they are made of": "What is it made of?",
    "What changes their minds": "How little is enough?",
}
SEEN = "The digit as the networks see it, 28 by 28 pixels"


@pytest.fixture
def loading_app(tmp_path):
    yield from (server.address for server in serve(Path(__file__).parent / "loading_app.py", tmp_path))


def figure(page: Page, name: str):
    found = page.locator(f".st-key-{name} .figure")
    found.locator(".main-svg").first.wait_for()
    found.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    return found


def click(page: Page, name: str, across: float, down: float) -> None:
    """Click a figure at these shares of what it plots."""
    box = figure(page, name).locator(".nsewdrag").first.bounding_box()
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def told(page: Page, name: str) -> str:
    """What a figure shows, for those who cannot see it."""
    return page.locator(f".st-key-{name} .figure").get_attribute("aria-label")


def look(page: Page, view: str) -> None:
    page.locator(".st-key-view").get_by_role("radio", name=view).click()


def test_plotly_is_there_before_the_first_figure_is_asked_for(page, app):
    page.goto(f"{app}/inside")
    page.wait_for_function("() => window.Plotly", timeout=60_000)
    assert not page.locator(".figure .main-svg").count()


def test_a_drawn_digit_is_looked_into(page):
    draw(page, drawing("a1", 4))
    drawn = page.get_by_alt_text(SEEN).get_attribute("src")
    page.get_by_role("link", name="Look inside").click()
    for name in MODELS:
        expect(page.locator(f".st-key-evidence_{name}")).to_contain_text("4, ", timeout=30_000)
        expect(page.locator(f".st-key-evidence_{name} img")).to_be_visible()
    expect(page.get_by_text("The digit that was drawn.")).to_be_visible()
    assert page.get_by_alt_text(SEEN).get_attribute("src") == drawn

    for part, asked in ALL_FIVE.items():
        page.locator(".st-key-ask").get_by_role("radio", name=part).click()
        expect(page.get_by_role("heading", name=asked)).to_be_visible()
        assert page.get_by_text("Traceback").count() == 0

    look(page, "Vision Transformer")
    click(page, "inside_looks", 0.7, 0.5)
    wait_until(page, lambda: "patch" in told(page, "inside_looks"))
    assert told(page, "inside_heads").startswith("Where patch")
    click(page, "inside_heads", 0.1, 0.42)  # layer 3, head 1
    wait_until(page, lambda: "layer 3, head 1" in told(page, "inside_looks"))
    page.get_by_role("combobox", name="Head").click()
    page.get_by_role("option", name="3").click()
    wait_until(page, lambda: "head 3" in told(page, "inside_looks"))

    look(page, "Convolutions")
    for key in ("inside_conv_why", "inside_conv_compared"):
        figure(page, key)
        expect(page.locator(f".st-key-{key} .infolayer [class^=cb]").first).to_be_visible()  # a legend

    look(page, "Faster R-CNN")
    for step in range(1, 8):
        expect(page.get_by_role("heading", name=f"{step}. ")).to_be_visible()
        if step == 3:
            try_other_anchors(page)
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="8. ")).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    assert page.get_by_text("Traceback").count() == 0


def test_clicks_are_answered_within_half_a_second(page, app, pace):
    page.goto(f"{app}/inside")
    for name in MODELS:
        page.locator(f".st-key-evidence_{name} img").wait_for(timeout=60_000)
    page.wait_for_function("() => window.Plotly")
    page.wait_for_timeout(4000)  # in which it prepares for clicks
    taken = {}

    def answered(name: str, act: Callable[[], None], shown: str) -> None:
        page.evaluate(CLICK_TO_ANSWER, shown)
        act()
        taken[name] = page.evaluate("window.answered")
        page.wait_for_timeout(2000)

    def choose(place: str, name: str) -> Callable[[], None]:
        return page.locator(f".st-key-{place}").get_by_role("radio", name=name).click

    def click_on(name: str, across: float) -> Callable[[], None]:
        box = figure(page, name).locator(".nsewdrag").first.bounding_box()
        return partial(page.mouse.click, box["x"] + across * box["width"], box["y"] + 0.5 * box["height"])

    drawn, told = "document.querySelectorAll('.st-key-{} .main-svg').length", "document.querySelector('{}')?.{}"
    page.get_by_role("button", name="Another digit").click()
    number = page.get_by_label("Test digit number")
    number.fill("18")
    answered("another digit", partial(number.press, "Enter"), told.format(".st-key-evidence_vit img", "src"))
    page.keyboard.press("Escape")
    page.wait_for_timeout(2000)
    for part, name in (("What fools them", "inside_fooled"), ("What they find alike", "inside_nearest")):
        answered(part, choose("ask", part), drawn.format(name))
    answered("Vision Transformer", choose("view", "Vision Transformer"), drawn.format("inside_station_1"))
    looks = told.format(".st-key-inside_looks .figure", "layout.title.text")
    for across in (0.3, 0.7):
        answered(f"patch at {across}", click_on("inside_looks", across), looks)
    answered("Convolutions", choose("view", "Convolutions"), drawn.format("inside_conv_maps"))
    why = told.format(".st-key-inside_conv_why .figure", "layout?.title.text")
    for method in ("Occlusion", "Integrated gradients", "HiResCAM"):
        answered(method, choose("inside_conv_method", method), why)
    answered("Faster R-CNN", choose("view", "Faster R-CNN"), drawn.format("inside_picture"))
    answered(
        "next step",
        page.get_by_role("button", name="Next").click,
        "[...document.querySelectorAll('h3')].map(heading => heading.innerText).join()",
    )
    assert max(taken.values()) < 500 * pace, taken


# Milliseconds from the next click or Enter to the frame in which an expression has another value.
CLICK_TO_ANSWER = """expression => {
  const shown = () => eval(expression), before = shown()
  window.answered = new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`nothing came of a click: ${expression}`)), 20000)
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


def try_other_anchors(page: Page) -> None:
    def surest() -> str:
        return figure(page, "inside_anchor_scores").evaluate("plot => plot.layout.title.text")

    before = surest()
    click(page, "inside_anchors", 0.97, 0.1)  # where the scene is empty
    wait_until(page, lambda: surest() != before)


def test_the_detector_is_looked_into_on_a_phone(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app}/inside?view=Faster+R-CNN")
    scene = figure(page, "inside_picture").bounding_box()
    assert scene["height"] < 300  # three times as wide as high: no more than it needs
    strip = figure(page, "inside_strip").bounding_box()
    assert strip["width"] >= 700  # legible, and moved sideways
    assert fits(page)
    page.get_by_role("button", name="Next").tap()
    expect(page.get_by_role("heading", name="2. ")).to_be_visible()
    assert fits(page)

    page.goto(f"{app}/inside?ask=What+fools+them")
    figure(page, "inside_fooled")
    assert fits(page)

    page.goto(f"{app}/inside?view=Faster+R-CNN&inside_step=Boxes")
    page.get_by_role("radio", name="I draw them").tap()
    box = page.locator(".st-key-inside_true_boxes .upper-canvas")
    box.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    swipe(page, box.bounding_box(), (0.1, 0.2), (0.3, 0.8))
    expect(page.locator(".st-key-inside_how_good")).to_contain_text("of 1")  # a true box
    context.close()


def swipe(page: Page, box: dict, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A finger's way, in shares of the box."""
    finger = page.context.new_cdp_session(page)
    for step in range(11):
        right, down = (a + (b - a) * step / 10 for a, b in zip(start, end, strict=True))
        point = {"x": box["x"] + right * box["width"], "y": box["y"] + down * box["height"]}
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove" if step else "touchStart", "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_what_is_clicked_while_a_network_loads_is_answered_at_once(browser, loading_app):
    page = browser.new_page()
    page.goto(loading_app)
    expect(page.get_by_text("Loading")).to_be_visible()
    page.get_by_role("button", name="Click").click()
    expect(page.get_by_text("Clicks: 1")).to_be_visible()
    assert page.get_by_text("Loading").is_visible()
    expect(page.get_by_text("Loaded")).to_be_visible(timeout=30_000)  # without another click
    assert page.get_by_text("Clicks: 1").is_visible()
    page.close()
