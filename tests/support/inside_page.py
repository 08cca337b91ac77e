"""Views of Look inside in AppTest, which neither shows figures nor clicks on them."""

import sys
from typing import Any

import numpy as np
import streamlit as st
from plotly.graph_objects import Figure
from streamlit.testing.v1 import AppTest

from atelier import MODELS


def view():
    import importlib

    import streamlit as st

    from pages.ui import networks, state

    state.prepare()
    for name in st.session_state["wait_for"]:
        networks.load(name).result(timeout=120)
    importlib.import_module(f"pages.views.inside.{st.session_state['module']}").show(st.session_state["digit"])


def open_view(module: str, digit: np.ndarray, wait_for: tuple[str, ...] = tuple(MODELS), **state: Any) -> AppTest:
    """An app that shows one module of `pages/views/inside`, after its first run."""
    app = AppTest.from_function(view, default_timeout=120)
    for key, value in {"module": module, "digit": digit, "wait_for": wait_for, **state}.items():
        app.session_state[key] = value
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def choose(app: AppTest, key: str, value: Any) -> AppTest:
    """Set the widget whose key starts with `key`."""
    widgets = (*app.button_group, *app.select_slider, *app.slider, *app.selectbox, *app.toggle)
    (widget,) = [widget for widget in widgets if (widget.key or "").startswith(key)]
    widget.set_value(value)
    return run(app)


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return run(app)


class Figures(dict[str, Figure]):
    """The figures that the page has shown, by key; a click on one is a button beside it."""

    def __init__(self, monkeypatch):
        self.points: dict[str, dict[str, Any]] = {}
        from pages.ui import live
        from pages.views.inside import all_networks, convolutions, transformer  # noqa: F401 -- with all but the detector

        original = live.live_figure
        for module in list(sys.modules.values()):
            if getattr(module, "live_figure", None) is original:
                monkeypatch.setattr(module, "live_figure", self.keep)

    def keep(self, figure: Figure, key: str, height: Any, alt: str, on_click: Any = None, narrowest: int = 0) -> None:
        assert alt
        figure.to_json()
        self[key] = figure
        if on_click:
            st.button("Click", key=f"click_{key}", on_click=lambda: on_click(self.points[key]))

    def click(self, app: AppTest, key: str, **point: Any) -> AppTest:
        """Click a point of a figure, as `live_figure` describes it."""
        self.points[key] = point
        return press(app, f"click_{key}")

    def title(self, key: str) -> str:
        return self[key].layout.title.text or ""
