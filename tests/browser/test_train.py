"""Networks train while visitors watch: a real browser, a real server and real training processes."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from atelier import MODELS
from atelier.runs import jobs
from atelier.runs.folder import Run
from tests.support.person import (
    answer,
    button,
    draw,
    drawing,
    fits,
    go,
    pen_up_to_answer,
    press,
    ready,
    wait_until,
)

LAST_POINT = "Math.max(0, ...plot._fullData.flatMap(trace => [...trace.x]))"  # on the axis of seconds


@pytest.fixture
def train(window, app, runs) -> Iterator[Page]:
    """The Train page. In the end every run is stopped."""
    window.goto(f"{app}/train")
    yield window
    for run in Run.all(runs):
        run.request("stop")


def start(page: Page, runs: Path) -> Run:
    """Start what the form offers at first: a quick training of the CNN."""
    before = len(Run.all(runs))
    press(page, "train_start")
    wait_until(page, lambda: len(Run.all(runs)) > before)
    return Run.all(runs)[0]


def state(page: Page) -> str:
    """The state of the run on the page."""
    shown = page.locator(".st-key-run_state [data-state]")
    return shown.first.get_attribute("data-state") if shown.count() else ""


def plot(page: Page, expression: str, name: str = "loss"):
    """The value of a JavaScript expression of a figure's element, `plot`."""
    return page.locator(f"[class*='st-key-{name}_'] .figure").evaluate(f"plot => {expression}")


def delay(page: Page, run: Run) -> float:
    """Seconds from a new event to its point in the curve."""
    before = len(run.metrics())
    wait_until(page, lambda: len(run.metrics()) > before)
    written, event = time.monotonic(), run.metrics()[-1]
    wait_until(page, lambda: plot(page, LAST_POINT) >= event["seconds"] - 0.01)
    return time.monotonic() - written


def zoom(page: Page) -> list[float]:
    """Zoom into the left half of the loss."""
    box = page.locator("[class*='st-key-loss_'] .nsewdrag").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    return plot(page, "plot._fullLayout.xaxis.range")


def test_train_fits_a_phone(phone, app):
    phone.goto(f"{app}/train")
    button(phone, "train_start").wait_for()
    assert fits(phone)


@pytest.mark.slow
def test_run_is_watched_left_reopened_and_used(train, app, runs, pace):
    train.locator(".st-key-no_runs").wait_for()
    demo = MODELS["cnn"].presets["demo"]  # with fewer digits on a slower computer, so that it takes the same time
    run = jobs.start("cnn", replace(demo, train_size=int(demo.train_size / pace)), runs=runs)
    train.goto(f"{app}/train?run={run.id}")
    wait_until(train, lambda: len(run.metrics()) > 3, seconds=60)
    train.locator("[class*='st-key-loss_'] .nsewdrag").scroll_into_view_if_needed()
    zoomed, delays, contents = zoom(train), [], {name: set() for name in ("predictions", "confusion", "filters")}
    # Before the run ends, the curve grows at least six times, and each panel has at least three contents.
    while len(delays) < 6 or min(map(len, contents.values())) < 3:
        assert state(train) == "running"
        delays.append(delay(train, run))
        assert plot(train, "plot._fullLayout.xaxis.range") == zoomed
        for name in contents:
            if train.locator(f"[class*='st-key-{name}_'] .main-svg").count():
                arrays = "JSON.stringify(plot._fullData.map(t => [t.z, t.text, t.source]))"
                contents[name].add(plot(train, arrays, name))
    assert statistics.median(delays) < pace, delays
    assert train.url.split("run=")[1].split("&")[0] == run.id

    go(train, "")
    train.locator(".st-key-network_cnn").wait_for()
    go(train, "train")
    train.locator("[class*='st-key-loss_'] .nsewdrag").wait_for()
    assert state(train) in ("running", "done")
    second = start(train, runs)
    wait_until(train, lambda: run.status()[0] == "done", seconds=180 * pace)
    wait_until(train, lambda: second.status()[0] == "running", seconds=60)
    wait_until(train, lambda: state(train) == "running")
    press(train, "run_stop")
    wait_until(train, lambda: second.status()[0] == "stopped")
    wait_until(train, lambda: state(train) == "stopped")

    train.goto(f"{app}/train?run={run.id}")
    wait_until(train, lambda: state(train) == "done")
    press(train, "run_use")
    train.locator(".st-key-run_in_use").wait_for()
    go(train, "draw")
    ready(train)
    assert f"cnn={run.id}" in train.url
    draw(train, drawing("a1", 3))
    wait_until(train, lambda: answer(train) == "3")
    press(train, "back_to_shipped")
    wait_until(train, lambda: run.id not in train.url)
    wait_until(train, lambda: answer(train) == "3")


@pytest.mark.slow
def test_drawing_answers_during_a_training(browser, train, app, runs):
    """The median from pen-up to the answers is at most twice that of an idle computer."""
    page = browser.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    draw(page, drawing("a2", 1))
    idle = statistics.median(pen_up_to_answer(page, 7))
    run = start(train, runs)
    wait_until(train, lambda: len(run.metrics()) > 3, seconds=60)
    busy = statistics.median(pen_up_to_answer(page, 7))
    assert run.status()[0] == "running"
    assert busy < 2 * idle, f"{busy:.0f} ms during training, {idle:.0f} ms otherwise"
    page.goto(train.url)  # a second window shows the same run
    page.locator("[class*='st-key-loss_'] .nsewdrag").wait_for()
    assert plot(page, LAST_POINT) > 0
