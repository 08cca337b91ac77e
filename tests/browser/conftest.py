"""A real browser on the real app. Where no browser is installed the tests are skipped, except in CI."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from atelier import MODELS
from atelier.bench.estimate import SPEEDS, save_throughput
from tests.support.person import ready
from tests.support.server import ROOT, serve

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error:
            if os.environ.get("CI"):
                raise
            pytest.skip("No Chromium or Chrome is installed. Run `playwright install --with-deps chromium`.")
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _closed_windows(browser) -> Iterator[None]:
    """Close what a test has opened, also if it failed."""
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="session", autouse=True)
def _known_machine() -> None:
    """Save a training speed: otherwise the Train page measures it for a minute in the background."""
    speeds = dict.fromkeys(SPEEDS, 1000.0)
    save_throughput({"startup_seconds": 5.0, "networks": dict.fromkeys(MODELS, speeds)}, "cpu")


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """The app's folder of runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def app(tmp_path_factory, runs) -> Iterator[str]:
    """The address of the app."""
    with serve(ROOT / "app.py", tmp_path_factory.mktemp("server"), ATELIER_RUNS=str(runs)) as server:
        yield server.address


@pytest.fixture
def window(browser) -> Page:
    """An empty window of a computer."""
    return browser.new_context(**DESKTOP).new_page()


@pytest.fixture
def phone(browser) -> Page:
    """An empty window of a phone."""
    return browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).new_page()


@pytest.fixture
def page(window, app) -> Page:
    """The Draw page, ready for drawing."""
    window.goto(f"{app}/draw")
    ready(window)
    return window
