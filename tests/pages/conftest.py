"""Fixtures for tests of pages: the app, and what a keyed container shows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from atelier import MODELS
from atelier.studies import STUDIES
from tests.support import train_page
from tests.support.inside_page import Figures

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _registries():
    """Tests may delete and add entries; afterwards the registries have the same ones in the same order."""
    kept = [(registry, dict(registry)) for registry in (MODELS, STUDIES)]
    yield
    for registry, entries in kept:
        registry.clear()
        registry.update(entries)


@pytest.fixture
def app():
    """The whole app, not yet run; it opens on its home page."""
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)


@pytest.fixture
def draw(app):
    """The app on its Draw page, not yet run: AppTest cannot draw, so tests put strokes into the session first."""
    return app.switch_page("pages/draw.py")


@pytest.fixture
def text():
    """`text(app, key)`: the text in the keyed container, without HTML."""

    def read(app: AppTest, key: str) -> str:
        (container,) = [element for element in elements(app.main) if getattr(element, "key", None) == key]
        values = [str(element.value) for element in elements(container) if hasattr(element, "value")]
        return re.sub(r"<[^>]*>", "", " ".join(values))

    return read


@pytest.fixture
def keys():
    """`keys(app)`: the keys of all containers and widgets on the page."""
    return lambda app: {getattr(element, "key", None) for element in elements(app.main)} - {None}


def elements(block) -> Iterator:
    for child in getattr(block, "children", {}).values():
        yield child
        yield from elements(child)


@pytest.fixture
def figures(monkeypatch):
    """The figures that a view of Look inside shows, by key; `figures.click(app, key, **point)` clicks on one."""
    return Figures(monkeypatch)


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """Runs are in a folder of the test's own and no process starts; a list of those that would."""
    return train_page.without_processes(monkeypatch, tmp_path / "runs")


@pytest.fixture
def train(app, launched):
    """The app on its Train page, not yet run."""
    return app.switch_page("pages/train.py")
