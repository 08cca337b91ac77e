"""Look inside, all five: which training digits each network finds most like the one at hand."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import mnist
from pages.ui import background, networks, parts
from pages.ui.live import live_figure, live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier

NEAREST = 6  # neighbours shown


@st.fragment(parallel=True)
def show(digit: np.ndarray) -> None:
    from atelier.explain import neighbours
    from atelier.figures import changes

    parts.question(
        "Which digits does it find most like this one?",
        "A row a network: the nearest of 5,000 training digits by the network's last features, nearest first. The map "
        "shows all of them; the star is this digit.",
    )
    try:
        images, labels = neighbours.compared()
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    loaded, progress, known = networks.loaded(), st.empty(), {}
    for name, network in loaded.items():
        say = f"Looking at 5,000 training digits with {MODELS[name].title} …"
        known[name] = neighbours.find(network, lambda share, say=say: progress.progress(share, say))
    progress.empty()
    found = background.side_by_side(partial(near, digit=digit), loaded.values(), map(networks.identity, loaded))
    nearest, distances, here = map(np.array, zip(*found, strict=True))
    figure = changes.nearest(list(loaded), images[nearest], labels[nearest], distances)
    with st.grid("auto", min_column_width=parts.WIDE):
        live_picture(figure, "inside_nearest", "The nearest training digits of each network", tallest=parts.TALLEST)
        with st.container():
            name = networks.choose_network("Map of", "inside_map")
            if networks.network(name) is not None and name in loaded:
                kept, star = known[name].spread[:2].sum(), here[list(loaded).index(name)]
                drawn = changes.neighbour_map(known[name].map_2d(), labels, star, kept, name)
                live_figure(drawn, "inside_neighbour_map", 560, "A map of training digits with this digit in it")
    maps = {f"{name}_map": known[name].map_2d() for name in loaded}
    parts.download(
        "Neighbours (NPZ)",
        lambda: parts.npz(
            networks=list(loaded), nearest=nearest, distances=distances, here=here, labels=labels, **maps
        ),
        "neighbours.npz",
    )


def ahead(digit: np.ndarray) -> Iterator[Callable[[], object]]:
    """What `show` will ask for, without networks whose neighbours are not shipped: those take seconds."""
    from atelier.explain import neighbours

    yield neighbours.compared
    for name, network in networks.loaded().items():
        if not networks.chosen(name):
            yield partial(near, network, networks.identity(name), digit)


@st.cache_data(max_entries=500, show_spinner=False)
def near(_network: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The NEAREST training digits to a network `int64[NEAREST]`, how far they are `float32[NEAREST]`, and where the
    digit falls in the map `float32[2]`."""
    from atelier.explain import neighbours

    indices, distances, place = neighbours.find(_network).nearest(_network, digit, NEAREST)
    return indices, distances, place[:2]
