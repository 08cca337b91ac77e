"""Look inside, all networks: the training digits that each network finds most similar to this one."""

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
    from atelier.explain.neighbours import NeighbourIndex

NEAREST = 6  # neighbours of each network


@st.fragment(parallel=True)
def show(digit: np.ndarray) -> None:
    """The part, for a digit `uint8[28, 28]`."""
    from atelier.explain import neighbours
    from atelier.figures import changes

    parts.heading(
        "Which training digits are most similar?",
        "One row per network: the six training digits it finds most similar. On the map, the star is this digit.",
        "The map's axes are principal components: the two directions in which the network's features differ most.",
    )
    try:
        images, labels = neighbours.reference_digits()
    except mnist.DamagedDataError as error:
        st.warning(str(error))
        return
    loaded = networks.loaded()
    known = load_neighbours(loaded)
    results = background.in_parallel(partial(nearest, digit=digit), loaded.values(), map(networks.identity, loaded))
    indices, distances, points = map(np.array, zip(*results, strict=True))
    figure = changes.nearest(list(loaded), images[indices], labels[indices], distances)
    with st.grid("auto", min_column_width=parts.WIDE):
        live_picture(figure, "inside_nearest", "The nearest training digits of each network", tallest=parts.TALLEST)
        with st.container():
            name = networks.choose_network("Map of", "inside_map")
            if networks.network(name) is not None and name in loaded:
                share, star = known[name].spread[:2].sum(), points[list(loaded).index(name)]
                figure = changes.neighbour_map(known[name].map_2d(), labels, star, share, name)
                live_figure(figure, "inside_neighbour_map", 560, "A map of training digits with this digit in it")
    arrays = {"networks": list(loaded), "nearest": indices, "distances": distances, "here": points, "labels": labels}
    arrays |= {f"{name}_map": known[name].map_2d() for name in loaded}
    parts.download("Neighbours (NPZ)", lambda: parts.npz(**arrays), "neighbours.npz")


def load_neighbours(loaded: dict[str, "Classifier"]) -> dict[str, "NeighbourIndex"]:
    """The neighbours by network; shows the progress where they have to be computed."""
    from atelier.explain import neighbours

    progress, known = st.empty(), {}
    for name, network in loaded.items():
        text = f"{MODELS[name].title} reads 5,000 training digits …"
        known[name] = neighbours.get_index(network, lambda share, text=text: progress.progress(share, text))
    progress.empty()
    return known


def ahead(digit: np.ndarray) -> Iterator[Callable[[], object]]:
    """Calls that compute what `show` needs, for networks whose neighbours are shipped: others take seconds."""
    from atelier.explain import neighbours

    yield neighbours.reference_digits
    for name, network in networks.loaded().items():
        if not networks.chosen(name) and (neighbours.SHIPPED / f"{name}.npz").is_file():
            yield partial(nearest, network, networks.identity(name), digit)


@st.cache_data(max_entries=500, show_spinner=False)
def nearest(_network: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the NEAREST training digits.

    Returns:
        indices `int64[NEAREST]`, distances `float32[NEAREST]`, and the digit's point `float32[2]` in the map.
    """
    from atelier.explain import neighbours

    indices, distances, point = neighbours.get_index(_network).nearest(_network, digit, NEAREST)
    return indices, distances, point[:2]
