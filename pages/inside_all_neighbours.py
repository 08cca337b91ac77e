"""Look inside, all five: which training digits each network finds most like the one at hand."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data import mnist
from pages import looking
from pages.live import live_figure, live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier

NEAREST = 6  # neighbours shown


@st.fragment(parallel=True)
def show(digit: np.ndarray) -> None:
    from atelier.explain import all_figures, neighbours

    looking.question(
        "Which digits does it find most like this one?",
        "A row a network: the nearest of 5,000 training digits by the network's last features, nearest first. The map "
        "shows all of them; the star is this digit.",
    )
    try:
        images, labels = neighbours.compared()
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    networks, progress, known = looking.loaded(), st.empty(), {}
    for name, network in networks.items():
        say = f"Looking at 5,000 training digits with {MODELS[name].title} …"
        known[name] = neighbours.find(network, lambda share, say=say: progress.progress(share, say))
    progress.empty()
    near, distances, here = near_to(list(networks.values()), [looking.identity(name) for name in networks], digit)
    figure = all_figures.nearest(list(networks), images[near], labels[near], distances)
    with st.grid("auto", min_column_width=looking.WIDE):
        live_picture(figure, "inside_nearest", "The nearest training digits of each network", tallest=looking.TALLEST)
        with st.container():
            name = looking.choose_network("Map of", "inside_map")
            if looking.network(name) is not None and name in networks:
                kept, star = known[name].spread[:2].sum(), here[list(networks).index(name)]
                drawn = all_figures.neighbour_map(known[name].map_2d(), labels, star, kept, name)
                live_figure(drawn, "inside_neighbour_map", 560, "A map of training digits with this digit in it")
    maps = {f"{name}_map": known[name].map_2d() for name in networks}
    looking.download(
        "Neighbours (NPZ)",
        lambda: looking.npz(
            networks=list(networks), nearest=near, distances=distances, here=here, labels=labels, **maps
        ),
        "neighbours.npz",
    )


@st.cache_data(max_entries=500, show_spinner=False)
def near_to(
    _networks: list["Classifier"], identities: list[str], digit: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For R networks the NEAREST training digits `int64[R, NEAREST]`, how far they are `float32[R, NEAREST]`, and where
    the digit falls in the map `float32[R, 2]`."""
    from atelier.explain import neighbours

    def near(network: "Classifier") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        indices, distances, place = neighbours.find(network).nearest(network, digit, NEAREST)
        return indices, distances, place[:2]

    return tuple(map(np.array, zip(*looking.side_by_side(near, _networks), strict=True)))
