"""A real browser on the real app. Where no browser is found the tests are skipped, except in CI."""

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error:
            if os.environ.get("CI"):
                raise
            pytest.skip("no Chromium or Chrome here; `playwright install --with-deps chromium` brings one")
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _closed_windows(browser) -> Iterator[None]:
    """Nothing that a test has opened disturbs the next one, also if it failed."""
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="session", autouse=True)
def _known_machine() -> None:
    """Else the Train page would have it measured in the background, for a minute, while tests measure, too."""
    speeds = dict.fromkeys(SPEEDS, 1000.0)
    save_throughput({"startup_seconds": 5.0, "networks": dict.fromkeys(MODELS, speeds)}, "cpu")


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """Where the app keeps its runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def app(tmp_path_factory, runs) -> Iterator[str]:
    servers = serve(ROOT / "app.py", tmp_path_factory.mktemp("server"), ATELIER_RUNS=str(runs))
    yield from (server.address for server in servers)


@pytest.fixture
def page(browser, app) -> Iterator[Page]:
    """The Draw page in a window of its own, ready to be drawn on."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    yield page
    context.close()
