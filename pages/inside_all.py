"""Look inside, all five: what each is made of, what would change its mind, and which digits it finds alike."""

import numpy as np
import streamlit as st

from pages import inside_all_architecture, inside_all_changes, inside_all_neighbours, looking


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    if not looking.loaded():
        st.info("This view begins as soon as one network is loaded.", icon=":material/hourglass_empty:")
        return
    inside_all_architecture.show()
    inside_all_changes.show(digit)
    inside_all_neighbours.show(digit)
