"""Look inside, convolutions: which strokes support a class, and whether the networks agree on them."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data.mnist import CLASSES, SIDE
from atelier.figures import feature_maps
from atelier.zoo import Family
from pages.ui import background, networks, parts
from pages.ui.live import live_picture
from pages.views.inside.layer_maps import choose_layer, layers
from pages.views.inside.methods import METHODS

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.convolutions import Layer

CHOICE = ("grad_cam", "hires_cam", "integrated_gradients", "occlusion")
WARM = "#FF8A1F"  # of maps of several networks
PIXELS = f"{SIDE} × {SIDE} pixels"


class Network(NamedTuple):
    """A network for functions on other threads, which cannot read the session."""

    classifier: "Classifier"
    identity: str


class Attribution(NamedTuple):
    """Which parts of a digit support some classes, for one network."""

    method: str  # a key of METHODS
    size: str  # what it was computed for, such as "layer 3, 14 × 14"
    heats: np.ndarray  # float32[classes, 28, 28]
    blank: tuple[int, ...] = ()  # classes whose Grad-CAM is blank; HiResCAM then replaces it for all classes


@st.fragment
def show(name: str, digit: np.ndarray) -> None:
    """Why a network prefers one class to another, for a digit `uint8[28, 28]`."""
    if networks.network(name) is None:
        return
    compared = compared_networks()
    probabilities = compared[name].classifier.predict_proba(digit[None])[0]
    heading = st.container()
    method, layer = choose_method(name)
    classes = choose_classes(compared[name], digit, probabilities)
    with st.spinner("Computing …"):
        background.in_parallel(  # one class on each core; the cache keeps them
            lambda target: attribute(compared[name], digit, (target,), method, layer), classes
        )
        attribution = attribute(compared[name], digit, classes, method, layer)
    with heading:
        text = METHODS[attribution.method]
        parts.heading(f"Why a {classes[0]}? Why a {classes[1]}?", text.reading, text.help)
    with st.container():  # one element, empty or not: the figures below keep their place
        if attribution.blank:
            explain_blank(attribution.blank)
    left, right = st.columns([1, 2])
    with left:  # before the other networks, which may take longer
        two_classes(name, digit, classes, probabilities, attribution)
    with right, st.spinner("Computing the other networks …"):
        known = {name: attribution._replace(heats=attribution.heats[:1])}
        maps = all_networks(compared, digit, classes[0], method, known)
    if method == "integrated_gradients":
        explain_sum(compared[name], digit, classes[0], attribution)
    parts.download(
        "Maps (NPZ)",
        lambda: parts.npz(digit=digit, classes=np.array(classes), maps=attribution.heats, **maps),
        f"{name}_attribution_{classes[0]}_{classes[1]}.npz",
    )
    compute_ahead(compared, digit, name, classes)
    if layer and not attribution.heats.any(axis=(1, 2)).all():
        deeper = " Try a deeper layer." if layer.number < len(layers(name)) else ""
        st.markdown(f"This layer shows no support for it.{deeper}")


def compared_networks() -> dict[str, Network]:
    """The loaded networks by name, without detectors: their gradients take seconds."""
    return {
        name: Network(classifier, networks.identity(name))
        for name, classifier in networks.loaded().items()
        if classifier.spec.family is not Family.DETECTOR
    }


def compute_ahead(compared: dict[str, Network], digit: np.ndarray, name: str, classes: tuple[int, int]) -> None:
    """Compute the slowest method before the visitor chooses it."""
    pairs = [(name, classes[1]), *((each, classes[0]) for each in compared)]
    background.compute_ahead(
        partial(integrated_gradients, *compared[each], digit, target)
        for each, target in pairs
        if not networks.differences(each)  # a visitor's larger network may take long and much memory
    )


# Controls ------------------------------------------------------------------------------------------------------------


def choose_method(name: str) -> tuple[str, "Layer | None"]:
    """The method, and the layer if the method needs one."""
    left, right = st.columns(2, vertical_alignment="bottom", gap="medium")
    with left:
        method = st.segmented_control(
            "Method",
            CHOICE,
            default=CHOICE[0],
            required=True,
            key="inside_conv_method",
            format_func=lambda method: METHODS[method].label,
            wrap=True,
        )
    if not METHODS[method].per_layer:
        return method, None
    with right:
        from atelier.explain import gradcam

        return method, choose_layer(name, "inside_conv_gradcam", gradcam.choose_layer(layers(name)).number)


def choose_classes(network: Network, digit: np.ndarray, probabilities: np.ndarray) -> tuple[int, int]:
    """Two classes; at first the two that are most probable."""
    first, second = map(int, np.argsort(-probabilities, kind="stable")[:2])
    question = f"{network.identity}_{crc32(digit.tobytes())}"  # another digit or network begins with its own classes
    choice = {"options": range(CLASSES), "required": True, "wrap": True}
    left, right = st.columns(2, gap="medium")
    with left:
        target = st.segmented_control("Why this class?", default=first, key=f"inside_conv_first_{question}", **choice)
    with right:
        other = st.segmented_control("Compare with", default=second, key=f"inside_conv_second_{question}", **choice)
    return target, other


# Figures and notes ---------------------------------------------------------------------------------------------------


def explain_blank(classes: tuple[int, ...]) -> None:
    blank = " and ".join(map(str, dict.fromkeys(classes)))
    st.info(
        f"**Grad-CAM is blank for {blank}.** With one weight for each map, nothing is left above zero. "
        "You see **HiResCAM** instead: it weights each place of a map.",
        icon=":material/visibility_off:",
    )


def explain_sum(network: Network, digit: np.ndarray, target: int, attribution: Attribution) -> None:
    """Whether the contributions of all pixels add up, as they should."""
    total, gained = attribution.heats[0].sum(), logit_gain(*network, digit, target)
    st.caption(
        f"All pixels together add {total:+.1f} to the score of {target}. "
        f"The score rises by {gained:+.1f} from a black image to the digit.",
        help="The closer the two numbers, the more precise is the approximation in few steps.",
    )


def two_classes(
    name: str, digit: np.ndarray, classes: tuple[int, int], probabilities: np.ndarray, attribution: Attribution
) -> None:
    """Which parts support each of two classes, for one network."""
    titles = [
        f"<b>{target}</b>: " + (f"{probabilities[target]:.1%} sure" if heat.any() else "no support")
        for target, heat in zip(classes, attribution.heats, strict=True)
    ]
    method = METHODS[attribution.method]
    figure = feature_maps.attributions(
        digit,
        attribution.heats,
        titles,
        f"What does {MODELS[name].title} use?",
        f"{method.label}: {attribution.size}",
        method.unit,
        None if method.signed else MODELS[name].colour,
    )
    live_picture(figure, "inside_conv_why", f"Parts of the digit that support {classes[0]} and {classes[1]}")


def all_networks(
    compared: dict[str, Network], digit: np.ndarray, target: int, method: str, known: dict[str, Attribution]
) -> dict[str, np.ndarray]:
    """Which parts support a class, for each network; returns the maps.

    Probabilities have one scale. Scores and feature maps of different networks have not, so each map is relative to its
    strongest number.
    """
    others = [name for name in compared if name not in known]
    found = background.in_parallel(lambda name: attribute(compared[name], digit, (target,), method), others)
    attributions = known | dict(zip(others, found, strict=True))
    attributions = {name: attributions[name] for name in compared}
    relative = method != "occlusion"
    maps = {name: attribution.heats[0] for name, attribution in attributions.items()}
    if relative:
        maps = {name: heat / (np.abs(heat).max() or 1) for name, heat in maps.items()}
    titles = [
        f"<b>{MODELS[name].title}</b><br>"
        + ("" if attribution.method == method else f"{METHODS[attribution.method].label}<br>")
        + attribution.size
        for name, attribution in attributions.items()
    ]
    figure = feature_maps.attributions(
        digit,
        np.stack(list(maps.values())),
        titles,
        "Do the networks use the same strokes?",
        f"Why a {target} · " + ("each relative to its strongest" if relative else "all on one scale"),
        "share of the strongest" if relative else METHODS[method].unit,
        None if METHODS[method].signed else WARM,
    )
    live_picture(figure, "inside_conv_compared", f"Parts of the digit that support {target}, for each network")
    return maps


# Attribution; called from any thread ----------------------------------------------------------------------------------


def attribute(
    network: Network, digit: np.ndarray, classes: tuple[int, ...], method: str, layer: "Layer | None" = None
) -> Attribution:
    """Which parts of a digit support each class.

    Networks without convolutions have substitutes for methods that need a layer. Without a layer, the network's default
    layer is used.
    """
    classifier, family = network.classifier, network.classifier.spec.family
    if method == "occlusion":
        return Attribution(method, PIXELS, occlusion(*network, digit)[list(classes)])
    if not METHODS[method].per_layer:
        return Attribution(method, PIXELS, gradients(network, digit, classes))
    if family is Family.TRANSFORMER:
        side = SIDE // classifier.network.config.patch_size
        return Attribution("gradient_rollout", f"{side} × {side} patches", rollout(*network, digit, classes))
    if not (family and family.has_convolutions):
        return Attribution("integrated_gradients", PIXELS, np.maximum(gradients(network, digit, classes), 0))
    return cams(network, digit, classes, method, layer)


def gradients(network: Network, digit: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    return np.stack([integrated_gradients(*network, digit, target) for target in classes])


def cams(
    network: Network, digit: np.ndarray, classes: tuple[int, ...], method: str, layer: "Layer | None"
) -> Attribution:
    """Class activation maps of a layer; where Grad-CAM is blank, HiResCAM replaces it."""
    from atelier.explain import gradcam

    layer = layer or gradcam.default_layer(network.classifier)
    rows, columns = layer.convolution.shape[1:]
    size = f"layer {layer.number}, {rows} × {columns}"
    heats = np.stack([cam(*network, digit, target, method, layer, layer.number) for target in classes])
    blank = tuple(target for target, heat in zip(classes, heats, strict=True) if not heat.any())
    if method == "grad_cam" and blank:
        return cams(network, digit, classes, "hires_cam", layer)._replace(blank=blank)
    return Attribution(method, size, heats)


@st.cache_data(max_entries=200, show_spinner=False)
def cam(
    _classifier: "Classifier", identity: str, digit: np.ndarray, target: int, method: str, _layer: "Layer", number: int
) -> np.ndarray:
    from atelier.explain import gradcam

    function = gradcam.hires_cam if method == "hires_cam" else gradcam.grad_cam
    return gradcam.upsample(function(_classifier, digit, target, _layer), _layer)


@st.cache_data(max_entries=200, show_spinner=False)
def rollout(_classifier: "Classifier", identity: str, digit: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    from atelier.explain import attention

    patches = np.stack([attention.gradient_rollout(_classifier, digit, target) for target in classes])
    size = len(digit) // patches.shape[1]
    return np.kron(patches, np.ones((1, size, size), np.float32))


@st.cache_data(max_entries=200, show_spinner=False)
def integrated_gradients(_classifier: "Classifier", identity: str, digit: np.ndarray, target: int) -> np.ndarray:
    from atelier.explain import gradcam

    return gradcam.integrated_gradients(_classifier, digit, target)


@st.cache_data(max_entries=200, show_spinner=False)
def logit_gain(_classifier: "Classifier", identity: str, digit: np.ndarray, target: int) -> float:
    from atelier.explain import gradcam

    return gradcam.logit_gain(_classifier, digit, target)


@st.cache_data(max_entries=200, show_spinner=False)
def occlusion(_classifier: "Classifier", identity: str, digit: np.ndarray) -> np.ndarray:
    from atelier.explain import gradcam

    return gradcam.occlusion(_classifier, digit)
