"""A drawing canvas with buttons of our own: its own hide on phones, and its Reset restores what it began with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import streamlit as st
from streamlit_drawable_canvas import st_canvas

from atelier.data import drawing

state = st.session_state


@dataclass(frozen=True)
class Canvas:
    """Shown by `show`. Its drawing lies in the session, so that it outlives a change of page."""

    key: str  # of the container around it; CSS finds it as `st-key-…`
    strokes: str  # the session's name for its drawing (Fabric.js's JSON)
    width: int  # pixels
    height: int
    pen: int  # pixels
    changed: Callable[[], None]  # called when there is another drawing

    def put(self, objects: list[dict[str, Any]]) -> None:
        """Replace the canvas by a new one that starts with these strokes; what the old one may still send is lost."""
        drawn = {"objects": objects}
        state.update({self.strokes: drawn, f"{self.key}_start": drawn, f"{self.key}_known": drawn})
        state[f"{self.key}_id"] = f"{self.key}_{uuid4().hex}"

    def keep(self, arriving: bool) -> None:
        """To be called before anything is shown: notice strokes that another page has put into the session, and begin
        with a new canvas when the visitor is `arriving`."""
        strokes = state.setdefault(self.strokes, None)
        if drawing.paths(strokes) and strokes is not state.get(f"{self.key}_known"):
            self.put(drawing.paths(strokes))
            self.changed()
        elif arriving or f"{self.key}_id" not in state:
            self.put(drawing.paths(strokes))

    def undo(self) -> None:
        self.put(drawing.paths(state[self.strokes])[:-1])
        self.changed()

    def clear(self) -> None:
        self.put([])
        self.changed()

    def show(self) -> None:
        with st.container(key=self.key):
            st_canvas(
                stroke_width=self.pen,
                stroke_color="#ffffff",
                background_color="#000000",
                width=self.width,
                height=self.height,
                initial_drawing=state[f"{self.key}_start"],
                on_change=self._drawn_on,
                key=state[f"{self.key}_id"],
            )

    def buttons(self, undo: str = "Undo", clear: str = "Clear") -> None:
        """The labels tell the buttons of two canvases on one page apart."""
        blank = not drawing.paths(state[self.strokes])
        st.button(undo, icon=":material/undo:", on_click=self.undo, disabled=blank)
        st.button(clear, icon=":material/delete:", on_click=self.clear)

    def _drawn_on(self) -> None:
        before = drawing.paths(state[self.strokes])
        drawn = state[state[f"{self.key}_id"]]["drawing"]["raw"]
        state.update({self.strokes: drawn, f"{self.key}_known": drawn})
        if drawing.paths(drawn) != before:
            self.changed()
