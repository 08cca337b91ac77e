"""Look inside, convolutions: what the CNN, VGG16 and AlexNet find in a digit, and what of it speaks for a class."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.checkpoint import CheckpointError
from atelier.explain import conv_figures
from pages import looking
from pages.live import live_figure

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.features import Layer, Maps, PixelArithmetic, Step

NETWORKS = ("cnn", "vgg16", "alexnet")
COMPARED = (*NETWORKS, "vit")
SHOWN = 24  # maps, and filters, of a layer that has hundreds
WIDE = 460  # pixels: narrower figures go below each other
LARGE, EVIDENCE, TITLE = 440, 340, 80  # heights of figures and of their titles, in pixels
METHODS = {
    "Grad-CAM": "The stronger the colour, the more the layer's maps speak for the class there.",
    "HiResCAM": "The stronger the colour, the more the layer's maps speak for the class there, each place by itself.",
    "Integrated gradients": "Each pixel's share of the class's score: orange speaks for it, blue against it.",
    "Occlusion": "A black square hides part of the digit. Orange: without this part the class is less probable; blue: "
    "more.",
}
UNITS = {"Integrated gradients": "share of the score", "Occlusion": "probability lost"}
LAYERED = ("Grad-CAM", "HiResCAM")  # these look at a layer, the others at pixels
WARM = "#FF8A1F"

state = st.session_state


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    name = st.segmented_control(
        "Network",
        NETWORKS,
        default="cnn",
        required=True,
        key="inside_conv_network",
        format_func=lambda name: MODELS[name].title,
    )
    if looking.network(name) is None:
        return
    layer_by_layer(name, digit)
    why(name, digit)
    if name != "cnn":
        retrained(name)


# Layer by layer ------------------------------------------------------------------------------------------------------


@st.fragment
def layer_by_layer(name: str, digit: np.ndarray) -> None:
    from atelier.explain import features

    looking.question(
        "What does each layer find?",
        "Each small picture is a map: where the digit looks like the map's filter, its numbers are high. "
        "Strongest maps first; **click one** to see it large.",
    )
    classifier = looking.network(name)
    layers = features.layers(classifier)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        layer = choose_layer(name, layers, "inside_conv_layer", layers[0])
        titles = [step.title for step in layer.steps]
        title = st.segmented_control(
            "Step", titles, default=titles[0], required=True, key=f"inside_conv_step_{'_'.join(titles)}"
        )
    seen = features.look(classifier, digit, layer)
    place = (looking.identity(name), layer.number)  # other weights may have fewer maps
    channel, row, column = chosen(place, seen)
    maps_and_filters(name, layer, layer.steps[titles.index(title)], seen, place, channel)
    if title == "Convolution":
        spell_out(name, digit, layer, seen, place, (channel, row, column))
    else:
        before, after = (seen.maps[step][channel] for step in titles[titles.index(title) - 1 :][:2])
        pair = conv_figures.enlarged(
            [before, after], ["before", "after"], None, f"Map {channel + 1}", "value", MODELS[name].colour
        )
        live_figure(pair, "inside_conv_pair", LARGE, f"Map {channel + 1} before and after {title}")
        st.markdown(what_happened(title, before, after))
    looking.download(
        "Maps (NPZ)", lambda: looking.npz(order=seen.order, **seen.maps), f"{name}_layer_{layer.number}.npz"
    )


def maps_and_filters(
    name: str, layer: "Layer", step: "Step", seen: "Maps", place: tuple[str, int], channel: int
) -> None:
    from atelier.explain import features

    def clicked(point: dict[str, Any]) -> None:
        if point["customdata"] is not None:
            state.inside_conv_chosen[place] = (int(point["customdata"]), None, None)

    colour, strongest = MODELS[name].colour, seen.order[:SHOWN]
    sees = f"{step.field:.0f} × {step.field:.0f} pixels" if step.field < 28 else "the whole digit"
    told = f"{len(strongest)} strongest of {step.shape[0]} · a number sees {sees}"
    heading = f"{step.title}: {step.size}"
    maps = conv_figures.sheet(seen.maps[step.title][strongest], strongest, channel, heading, told, "value", colour)
    weights, numbers, whose = shown_filters(features.filters(looking.network(name), layer), layer, seen, channel)
    filters = conv_figures.sheet(weights, numbers, None, "Its filters", whose, "weight", colour)
    height = 2 * TITLE + 72 * math.ceil(max(len(strongest), len(numbers)) / conv_figures.COLUMNS)
    with st.grid("auto", min_column_width=WIDE):
        live_figure(maps, "inside_conv_maps", height, f"Maps of layer {layer.number} after {step.title}", clicked)
        live_figure(filters, "inside_conv_filters", height, f"Filters of layer {layer.number}")


def spell_out(
    name: str, digit: np.ndarray, layer: "Layer", seen: "Maps", place: tuple[str, int], at: tuple[int, int, int]
) -> None:
    """The chosen map of a convolution, and the arithmetic of its chosen number."""
    from atelier.explain import features

    channel, row, column = at

    def clicked(point: dict[str, Any]) -> None:
        if isinstance(point["point"], list):
            state.inside_conv_chosen[place] = (channel, *point["point"])

    colour, heading = MODELS[name].colour, f"Map {channel + 1}: click a number"
    one = conv_figures.enlarged([seen.maps["Convolution"][channel]], [""], (row, column), heading, "value", colour)
    spelt = features.pixel_arithmetic(looking.network(name), digit, layer, channel, row, column)
    left, right = st.columns([1, 2])
    with left:
        live_figure(one, "inside_conv_map", LARGE, f"Map {channel + 1}, enlarged", clicked)
    with right:
        inputs, rows, _ = spelt.windows.shape
        height, alt = min(2 * TITLE + 36 * inputs * rows, 600), "The window, the filter and their products"
        live_figure(conv_figures.arithmetic(spelt, colour), "inside_conv_arithmetic", height, alt)
        st.markdown(in_words(spelt, row, column))
        looking.download("Arithmetic (CSV)", table(spelt).to_csv(index=False), f"{name}_arithmetic.csv")


def choose_layer(name: str, layers: list["Layer"], key: str, default: "Layer") -> "Layer":
    """A slider, and a line on what the chosen layer is."""

    def label(layer: "Layer") -> str:
        mark = "" if name == "cnn" else " · retrained" if layer.trained else " · ❄ frozen"
        return f"{layer.number} of {len(layers)} · {layer.convolution.size}{mark}"

    number = st.select_slider(
        "Layer",
        range(1, len(layers) + 1),
        value=default.number,
        key=f"{key}_{name}",
        format_func=lambda number: label(layers[number - 1]),
        width=420,
        help="Maps × height × width. Deeper layers see more of the digit at once, in coarser maps.",
    )
    return layers[number - 1]


def chosen(place: tuple[str, int], seen: "Maps") -> tuple[int, int, int]:
    """The map, row and column that were clicked last; at first the strongest map, and the highest number in a map."""
    channel, row, column = state.setdefault("inside_conv_chosen", {}).get(place, (int(seen.order[0]), None, None))
    if row is None:
        convolved = seen.maps["Convolution"][channel]
        row, column = map(int, np.unravel_index(convolved.argmax(), convolved.shape))
    return channel, row, column


def shown_filters(
    filters: np.ndarray, layer: "Layer", seen: "Maps", channel: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Filters worth showing, their numbers, and what they are."""
    if layer.number == 1:  # in VGG16 and AlexNet it looks at red, green and blue: of a grey digit the same
        order = seen.order[:SHOWN]
        return filters.sum(1)[order], order, "One for each map, in the same order"
    pieces = filters[channel]
    order = np.argsort(-np.square(pieces).sum((1, 2)), kind="stable")[:SHOWN]
    return pieces[order], order, f"How map {channel + 1} weighs {len(order)} of {len(pieces)} inputs"


def in_words(spelt: "PixelArithmetic", row: int, column: int) -> str:
    sums = " ".join(f"{total:+.3f}" for total in spelt.products.sum((1, 2)))
    rest = f" {spelt.rest:+.3f} (the other {spelt.others} inputs)" if spelt.others else ""
    bias = f" {spelt.bias:+.3f} (bias)" if spelt.bias else ""
    total = f"**{spelt.output:.3f}**, as the layer itself gives"
    return f"Row {row + 1}, column {column + 1}: {sums}{rest}{bias} = {total}."


def what_happened(title: str, before: np.ndarray, after: np.ndarray) -> str:
    if title == "ReLU":
        return f"ReLU keeps what is above zero; all else becomes 0: here {(before < 0).mean():.0%} of the numbers."
    if title == "Pooling":
        sizes = " to ".join(f"{height} × {width}" for height, width in (before.shape, after.shape))
        return f"Pooling keeps the highest of neighbouring numbers and forgets where it was: from {sizes}."
    return (
        f"Normalisation shifts and stretches each map as it has learnt: {before.min():.2f} to {before.max():.2f} "
        f"became {after.min():.2f} to {after.max():.2f}."
    )


def table(spelt: "PixelArithmetic") -> pd.DataFrame:
    """A row for each product."""
    place, row, column = np.indices(spelt.windows.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "input": spelt.channels[place] + 1,
            "row": row + 1,
            "column": column + 1,
            "covers": spelt.windows.ravel(),
            "filter": spelt.filters.ravel(),
            "product": spelt.products.ravel(),
        }
    )


# Why -----------------------------------------------------------------------------------------------------------------


@st.fragment
def why(name: str, digit: np.ndarray) -> None:
    from atelier.explain import gradcam

    classifier = looking.network(name)
    shares = classifier.predict_proba(digit[None])[0]
    first, second = map(int, np.argsort(-shares, kind="stable")[:2])
    heading, layer = st.container(), None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        method = st.segmented_control(
            "Method", list(METHODS), default="HiResCAM", required=True, key="inside_conv_method"
        )
        if method in LAYERED:
            layers, default = gradcam.layers(classifier), gradcam.default_layer(classifier)
            layer = choose_layer(name, layers, "inside_conv_gradcam", default)
    with st.container(horizontal=True, gap="large"):
        classes = (
            choose_class("Why a …?", first, f"inside_conv_first_{name}_{crc32(digit.tobytes())}"),
            choose_class("And why a …?", second, f"inside_conv_second_{name}_{crc32(digit.tobytes())}"),
        )
    with heading:
        looking.question(f"Why a {classes[0]}? Why a {classes[1]}?", METHODS[method])
    heats = speaks(name, digit, classes, method, layer)
    size = f"{' × '.join(map(str, layer.convolution.shape[1:]))} places, enlarged to 28 × 28" if layer else "28 × 28"
    one_network = conv_figures.evidence(
        digit,
        heats,
        [
            f"<b>{target}</b>: " + (f"{shares[target]:.1%} sure" if heat.any() else "nothing here")
            for target, heat in zip(classes, heats, strict=True)
        ],
        MODELS[name].title,
        size,
        UNITS.get(method, "evidence"),
        MODELS[name].colour if layer else None,
    )
    left, right = st.columns([1, 2])
    with left:  # before the others are asked, which may take longer
        live_figure(one_network, "inside_conv_why", EVIDENCE, f"What speaks for {classes[0]} and for {classes[1]}")
    with right:
        theirs = side_by_side(digit, classes[0], method, {} if layer else {name: heats[0]})
    if layer and not heats.any(axis=(1, 2)).all():
        st.markdown("Nothing here: this layer knows strokes, not yet digits. A deeper one, or HiResCAM, may tell more.")
    looking.download(
        "Maps (NPZ)",
        lambda: looking.npz(digit=digit, classes=np.array(classes), maps=heats, **theirs),
        f"{name}_why_{classes[0]}_{classes[1]}.npz",
    )


def side_by_side(digit: np.ndarray, target: int, method: str, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What speaks for a class to each network, as shares of the strongest number; some is known already."""
    compared = [name for name in COMPARED if looking.network(name)]
    heats = {name: known[name] if name in known else speaks(name, digit, (target,), method)[0] for name in compared}
    shares = {name: heat / (np.abs(heat).max() or 1) for name, heat in heats.items()}
    figure = conv_figures.evidence(
        digit,
        np.stack(list(shares.values())),
        [f"<b>{MODELS[name].title}</b>" for name in compared],
        "Do they look at the same strokes?",
        f"Why a {target} · each relative to its strongest",
        "share of the strongest",
        WARM if method in LAYERED else None,
    )
    live_figure(figure, "inside_conv_compared", EVIDENCE, f"What speaks for {target}, to each network")
    return shares


def choose_class(label: str, default: int, key: str) -> int:
    return st.segmented_control(label, range(10), default=default, required=True, key=key)


def speaks(
    name: str, digit: np.ndarray, classes: tuple[int, ...], method: str, layer: "Layer | None" = None
) -> np.ndarray:
    """What speaks for each class: `float32[classes, 28, 28]`. Without a layer, methods that need one take the network's
    default; for the Vision Transformer, which has none, the gradient-weighted rollout of its attention stands in."""
    number = layer.number if layer else None
    return explained(looking.network(name), looking.identity(name), digit, classes, method, number)


@st.cache_data(max_entries=500, show_spinner="Looking …")
def explained(
    _classifier: "Classifier",
    identity: str,
    digit: np.ndarray,
    classes: tuple[int, ...],
    method: str,
    number: int | None,
) -> np.ndarray:
    from atelier.explain import attention, gradcam

    def heat(target: int) -> np.ndarray:
        if method == "Integrated gradients":
            return gradcam.integrated_gradients(_classifier, digit, target)
        if method == "Occlusion":
            return gradcam.occlusion(_classifier, digit, target)
        if _classifier.spec.name == "vit":
            patches = attention.gradient_rollout(_classifier, digit, target)
            return np.kron(patches, np.ones((len(digit) // len(patches),) * 2, np.float32))
        layer = gradcam.layers(_classifier)[number - 1] if number else gradcam.default_layer(_classifier)
        cam = gradcam.hires_cam if method == "HiResCAM" else gradcam.grad_cam
        return gradcam.enlarged(cam(_classifier, digit, target, layer), layer)

    with ThreadPoolExecutor() as pool:  # a class a core: VGG16 takes nearly half a second for one
        return np.stack(list(pool.map(heat, classes)))


# Frozen and retrained ------------------------------------------------------------------------------------------------


@st.fragment
def retrained(name: str) -> None:
    from atelier.explain import features

    classifier, spec = looking.network(name), MODELS[name]
    looking.question(
        "Which layers learnt digits?",
        "Frozen layers (❄) see as they were taught elsewhere. A bar shows how far a retrained one has moved since.",
    )
    trained = [layer.trained for layer in features.layers(classifier)]
    try:
        moved = distances(classifier, looking.identity(name))
    except CheckpointError as error:  # the backbone's file is gone
        st.warning(str(error))
        return
    if not any(trained):
        st.markdown("All its convolutions are frozen: only the head, which gives each digit its score, learnt.")
    elif not moved:
        st.markdown("It began with random weights, which nobody kept: how far it has moved is not known.")
    live_figure(
        conv_figures.distances(trained, moved, spec.colour),
        "inside_conv_moved",
        140 + 26 * len(trained),
        "How far each convolution has moved from its pretrained weights",
    )
    numbers = pd.DataFrame(
        {
            "convolution": np.arange(1, len(trained) + 1),
            "retrained": trained,
            "relative_distance": [
                moved.get(number, None if learnt else 0.0) for number, learnt in enumerate(trained, 1)
            ],
        }
    )
    looking.download("Distances (CSV)", numbers.to_csv(index=False), f"{name}_moved.csv")


@st.cache_data(max_entries=50, show_spinner="Comparing with the pretrained weights …")
def distances(_classifier: "Classifier", identity: str) -> dict[int, float]:
    from atelier.explain import features

    return features.moved(_classifier)
