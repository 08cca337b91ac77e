"""Networks learn while people look on: a real browser, a real server, and real processes that train."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from atelier import MODELS
from atelier.runs import jobs
from atelier.runs.folder import Run
from tests.support.person import answer, draw, drawing, fits, pen_up_to_answer, ready, wait_until


@pytest.fixture
def train(browser: Browser, app: str, runs: Path) -> Iterator[Page]:
    """The Train page. Whatever still trains in the end is stopped."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{app}/train")
    yield page
    context.close()
    for run in Run.all(runs):
        run.request("stop")


def start(page: Page, runs: Path) -> Run:
    """Start what the form asks for: at first, a Demo run of the CNN."""
    before = len(Run.all(runs))
    page.locator(".st-key-train_start button").click()
    wait_until(page, lambda: len(Run.all(runs)) > before)
    return Run.all(runs)[0]


def state(page: Page) -> str:
    return next(iter(page.locator(".st-key-run_state").inner_text().split()), "")


def curve(page: Page, expression: str, name: str = "loss"):
    """The value of a JavaScript expression of a figure's element, `plot`."""
    return page.locator(f"[class*='st-key-{name}_'] .figure").evaluate(f"plot => {expression}")


def lag(page: Page, run: Run) -> float:
    """Seconds from a new event to its point in the curve."""
    before = len(run.metrics())
    wait_until(page, lambda: len(run.metrics()) > before)
    happened, event = time.monotonic(), run.metrics()[-1]
    wait_until(page, lambda: curve(page, LAST_POINT) >= event["seconds"] - 0.01)
    return time.monotonic() - happened


LAST_POINT = "Math.max(0, ...plot._fullData.flatMap(trace => [...trace.x]))"  # on the axis of seconds


def zoom(page: Page) -> list[float]:
    """Zoom into the left half of the loss."""
    box = page.locator("[class*='st-key-loss_'] .nsewdrag").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    return curve(page, "plot._fullLayout.xaxis.range")


def test_a_demo_is_watched_left_found_again_and_used(train, app, runs, pace):
    expect(train.get_by_text("Nothing has been trained here yet")).to_be_visible()
    demo = MODELS["cnn"].presets["demo"]  # with fewer digits on a slower computer, so that it takes as long
    run = jobs.start("cnn", replace(demo, train_size=int(demo.train_size / pace)), runs=runs)
    train.goto(f"{app}/train?run={run.id}")
    wait_until(train, lambda: len(run.metrics()) > 3, seconds=60)
    train.locator("[class*='st-key-loss_'] .nsewdrag").scroll_into_view_if_needed()
    zoomed, lags, contents = zoom(train), [], {name: set() for name in ("guesses", "confusion", "filters")}
    # Before the run ends, the curve grows at least six times, and each panel shows at least three contents.
    while len(lags) < 6 or min(map(len, contents.values())) < 3:
        assert state(train) == "running"
        lags.append(lag(train, run))
        assert curve(train, "plot._fullLayout.xaxis.range") == zoomed
        for name in contents:
            if train.locator(f"[class*='st-key-{name}_'] .main-svg").count():
                contents[name].add(
                    curve(train, "JSON.stringify(plot._fullData.map(t => [t.z, t.text, t.source]))", name)
                )
    assert statistics.median(lags) < pace, lags
    assert train.url.split("run=")[1].split("&")[0] == run.id

    train.get_by_role("link", name="Home").click()
    expect(train.get_by_role("heading", name="The networks")).to_be_visible()
    train.get_by_role("link", name="Train").click()
    train.locator("[class*='st-key-loss_'] .nsewdrag").wait_for()
    assert state(train) in ("running", "done")
    second = start(train, runs)  # waits for the first one, or is next
    wait_until(train, lambda: run.status()[0] == "done", seconds=180 * pace)
    wait_until(train, lambda: second.status()[0] == "running", seconds=60)
    wait_until(train, lambda: state(train) == "running")
    train.get_by_role("button", name="Stop").click()
    wait_until(train, lambda: second.status()[0] == "stopped")
    wait_until(train, lambda: state(train) == "stopped")

    train.goto(f"{app}/train?run={run.id}")
    wait_until(train, lambda: state(train) == "done")
    expect(train.get_by_text(f"{run.read('result.json')['accuracy']:.2%}").first).to_be_visible()
    train.get_by_role("button", name="Use this one").click()
    expect(train.get_by_text("In use on every page")).to_be_visible()
    train.get_by_role("link", name="Draw").click()
    ready(train)
    assert f"cnn={run.id}" in train.url
    expect(train.get_by_text("own run:").first).to_be_visible()
    draw(train, drawing("a1", 3))
    wait_until(train, lambda: answer(train) == "3")
    train.get_by_role("button", name="Back to the shipped networks").click()
    wait_until(train, lambda: run.id not in train.url)
    wait_until(train, lambda: answer(train) == "3")


def test_drawing_answers_while_a_network_trains(browser, train, app, runs):
    """Median pen-up to answers at most twice the one of an idle machine."""
    page = browser.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    draw(page, drawing("a2", 1))
    idle = statistics.median(pen_up_to_answer(page, 7))
    run = start(train, runs)
    wait_until(train, lambda: len(run.metrics()) > 3, seconds=60)
    busy = statistics.median(pen_up_to_answer(page, 7))
    assert run.status()[0] == "running"
    assert busy < 2 * idle, f"{busy:.0f} ms while training, {idle:.0f} ms else"
    page.goto(train.url)  # a second window sees the same run
    page.locator("[class*='st-key-loss_'] .nsewdrag").wait_for()
    assert curve(page, LAST_POINT) > 0
    page.close()


def test_the_page_fits_a_phone(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app}/train")
    page.locator(".st-key-train_start button").wait_for()
    assert fits(page)
    context.close()
