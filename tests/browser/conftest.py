"""A real browser on the real app. Where no browser is found the tests are skipped, except in CI."""

import os
import shutil
from collections.abc import Iterator

import pytest
from person import ready
from playwright.sync_api import Browser, Error, Page, sync_playwright
from server import ROOT, serve

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


@pytest.fixture(scope="session")
def app(tmp_path_factory) -> Iterator[str]:
    yield from (server.address for server in serve(ROOT / "app.py", tmp_path_factory.mktemp("server")))


@pytest.fixture
def page(browser, app) -> Iterator[Page]:
    """The Draw page in a window of its own, ready to be drawn on."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{app}/draw")
    ready(page)
    yield page
    context.close()
