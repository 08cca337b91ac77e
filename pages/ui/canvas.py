"""A drawing canvas with its own Undo and Clear.

The component's buttons hide on phones, and its Reset restores what it began with.
"""

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
    """A canvas whose drawing lies in the session, so that it outlives a change of page."""

    key: str  # of the container around it; CSS class `st-key-…`
    strokes: str  # the session's key for its drawing, in Fabric.js's JSON
    width: int  # pixels
    height: int
    pen: int  # pixels
    changed: Callable[[], None]  # called when the drawing has changed

    def replace(self, objects: list[dict[str, Any]]) -> None:
        """Replace the canvas by a new one that starts with these strokes.

        What the browser still sends from the old one is ignored: a late message would undo a second Undo.
        """
        drawn = {"objects": objects}
        state.update({self.strokes: drawn, f"{self.key}_start": drawn, f"{self.key}_known": drawn})
        state[f"{self.key}_id"] = f"{self.key}_{uuid4().hex}"

    def restore(self, arriving: bool) -> None:
        """Read strokes that another page has put into the session; a visitor who is `arriving` gets a new canvas.

        Call it before anything is shown.
        """
        strokes = state[self.strokes]
        if drawing.paths(strokes) and strokes is not state.get(f"{self.key}_known"):
            self.replace(drawing.paths(strokes))
            self.changed()
        elif arriving or f"{self.key}_id" not in state:
            self.replace(drawing.paths(strokes))

    def undo(self) -> None:
        """Remove the last stroke."""
        self.replace(drawing.paths(state[self.strokes])[:-1])
        self.changed()

    def clear(self) -> None:
        """Remove all strokes."""
        self.replace([])
        self.changed()

    def show(self) -> None:
        """Show the canvas."""
        st.space("xsmall")  # room for the component's own toolbar
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

    def buttons(self) -> None:
        """Show Undo and Clear."""
        blank = not drawing.paths(state[self.strokes])
        st.button("Undo", icon=":material/undo:", on_click=self.undo, disabled=blank, key=f"{self.key}_undo")
        st.button("Clear", icon=":material/delete:", on_click=self.clear, key=f"{self.key}_clear")

    def _drawn_on(self) -> None:
        before = drawing.paths(state[self.strokes])
        drawn = state[state[f"{self.key}_id"]]["drawing"]["raw"]
        state.update({self.strokes: drawn, f"{self.key}_known": drawn})
        if drawing.paths(drawn) != before:
            self.changed()
