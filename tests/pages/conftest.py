import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def app():
    """The whole app; it opens on its home page when it is run."""
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)


@pytest.fixture
def draw(app):
    """The app on its Draw page, not yet run: AppTest cannot draw, so tests set the session's state first."""
    return app.switch_page("pages/draw.py")


@pytest.fixture
def text():
    """`text(app, key)`: what the keyed container shows, without HTML."""

    def find(app: AppTest, key: str) -> str:
        (container,) = [element for element in elements(app.main) if getattr(element, "key", None) == key]
        values = [str(element.value) for element in elements(container) if hasattr(element, "value")]
        return re.sub(r"<[^>]*>", "", " ".join(values))

    return find


def elements(block) -> Iterator:
    for child in getattr(block, "children", {}).values():
        yield child
        yield from elements(child)
