"""Look inside, all five: what would change each network's mind, which digits it finds alike, and what it is made of."""

import numpy as np
import streamlit as st

from atelier import plotting
from pages import inside_all_architecture, inside_all_changes, inside_all_neighbours, looking

PARTS = {  # one at a time: each answers a click sooner than all together
    "What changes their minds": inside_all_changes.show,
    "What fools them": inside_all_changes.against,
    "What they find alike": inside_all_neighbours.show,
    "What they are made of": inside_all_architecture.show,
}


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    if not looking.loaded():
        st.info("This view begins as soon as one network is loaded.", icon=":material/hourglass_empty:")
        return
    first, *_ = PARTS
    part = st.segmented_control(
        "Ask all five", list(PARTS), default=first, required=True, key="ask", wrap=True, bind="query-params"
    )
    PARTS[part](digit)
    if PARTS[part] is not inside_all_architecture.show:  # which measures time
        looking.look_ahead([plotting.warm_up, *inside_all_changes.ahead(digit), *inside_all_neighbours.ahead(digit)])
