"""Look inside, convolutions: which strokes speak for a class, and whether other networks look at the same ones."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.data.mnist import SIDE
from atelier.figures import feature_maps
from pages.ui import background, networks, parts
from pages.ui.live import live_picture
from pages.views.inside.conv_layers import choose_layer, layers

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.convolutions import Layer

COMPARED = ("cnn", "vgg16", "alexnet", "vit")
GRAD_CAM, HIRES_CAM, INTEGRATED, OCCLUSION = METHODS = ["Grad-CAM", "HiResCAM", "Integrated gradients", "Occlusion"]
LAYERED = (GRAD_CAM, HIRES_CAM)  # these look at a layer's maps, the others at pixels
ROLLOUT = "rollout"  # stands in for them where there is none: the Vision Transformer's gradient-weighted attention
READINGS = {
    GRAD_CAM: "The stronger the colour, the more the layer's maps speak for the class there; each map as a whole.",
    HIRES_CAM: "The stronger the colour, the more the layer's maps speak for the class there; each place by itself.",
    INTEGRATED: "What each pixel adds to the class's score, from a black picture on: orange for it, blue against it.",
    OCCLUSION: "A black square hides part of the digit. Orange: without this part the class is less probable; blue: "
    "more.",
}
UNITS = {INTEGRATED: "added to the score (logit)", OCCLUSION: "probability lost"}
WARM = "#FF8A1F"
PIXELS = f"{SIDE} × {SIDE} pixels"


class Found(NamedTuple):
    """What speaks for classes, to one network."""

    method: str  # one of METHODS, or ROLLOUT
    size: str  # what was looked at, such as "layer 3, 14 × 14"
    heats: np.ndarray  # float32[classes, 28, 28]
    blank: tuple[int, ...] = ()  # classes whose Grad-CAM was blank, so that HiResCAM has stood in for all


@st.fragment
def show(name: str, digit: np.ndarray) -> None:
    """Why a network says what it says of a digit `uint8[28, 28]`, and not something else."""
    classifier = networks.network(name)
    if classifier is None:
        return
    shares = classifier.predict_proba(digit[None])[0]
    first, second = map(int, np.argsort(-shares, kind="stable")[:2])
    asked_about = f"{networks.identity(name)}_{crc32(digit.tobytes())}"  # another answer, another question
    heading, layer = st.container(), None
    left, right = st.columns(2, vertical_alignment="bottom", gap="medium")
    with left:
        method = st.segmented_control(
            "Method", METHODS, default=GRAD_CAM, required=True, key="inside_conv_method", wrap=True
        )
    if method in LAYERED:
        with right:
            layer = choose_layer(name, "inside_conv_gradcam", default_layer(name).number)
    left, right = st.columns(2, gap="medium")
    with left:
        asked = choose_class("Why a …?", first, f"inside_conv_first_{asked_about}")
    with right:
        other = choose_class("And why a …?", second, f"inside_conv_second_{asked_about}")
    pairs = {name: (networks.network(name), networks.identity(name)) for name in networks.loaded() if name in COMPARED}
    with st.spinner("Looking …"):
        # A class a core; kept.
        background.side_by_side(lambda target: speaks(*pairs[name], digit, (target,), method, layer), (asked, other))
        found = speaks(*pairs[name], digit, (asked, other), method, layer)
    with heading:
        parts.question(f"Why a {asked}? Why a {other}?", READINGS[found.method])
    with st.container():  # one element, empty or not: figures below keep their place
        if found.blank:
            blank = " and for ".join(map(str, dict.fromkeys(found.blank)))
            st.info(
                f"**Grad-CAM is blank for {blank}:** it gives each map one weight, and then nothing is left above "
                "zero. So here you see **HiResCAM**, which weighs each place by itself.",
                icon=":material/visibility_off:",
            )
    left, right = st.columns([1, 2])
    with left:  # before the others are asked, which may take longer
        for_two(name, digit, (asked, other), shares, found)
    with right, st.spinner("Asking the others …"):
        compared = compare(pairs, digit, asked, method, {name: found._replace(heats=found.heats[:1])})
    if method == INTEGRATED:
        together, whole = found.heats[0].sum(), gained(*pairs[name], digit, asked)
        st.caption(
            f"Together, the pixels add {together:+.1f} to the score of {asked}, which is {whole:+.1f} above that of "
            "a black picture: the closer these are, the better do the few steps taken stand for the whole way."
        )
    parts.download(
        "Maps (NPZ)",
        lambda: parts.npz(digit=digit, classes=np.array((asked, other)), maps=found.heats, **compared),
        f"{name}_why_{asked}_{other}.npz",
    )
    slowest = [(name, other), *((each, asked) for each in pairs)]
    background.look_ahead(
        partial(integrated, *pairs[each], digit, target)
        for each, target in slowest
        if not networks.differences(each)  # a larger one of a person's own may take long and much memory
    )
    if layer and not found.heats.any(axis=(1, 2)).all():
        deeper = " A deeper one may tell more." if layer.number < len(layers(name)) else ""
        st.markdown(f"Nothing here: this layer's maps hold nothing that speaks for it.{deeper}")


def default_layer(name: str) -> "Layer":
    from atelier.explain import gradcam

    return gradcam.deepest_fine(layers(name))


def choose_class(label: str, default: int, key: str) -> int:
    return st.segmented_control(label, range(10), default=default, required=True, key=key, wrap=True)


def for_two(name: str, digit: np.ndarray, classes: tuple[int, int], shares: np.ndarray, found: Found) -> None:
    """What speaks for each of two classes, to one network."""
    titles = [
        f"<b>{target}</b>: " + (f"{shares[target]:.1%} sure" if heat.any() else "nothing here")
        for target, heat in zip(classes, found.heats, strict=True)
    ]
    figure = feature_maps.evidence(
        digit,
        found.heats,
        titles,
        f"Where does {MODELS[name].title} see it?",
        f"{found.method}: {found.size}",
        UNITS.get(found.method, "evidence"),
        MODELS[name].colour if found.method in LAYERED else None,
    )
    live_picture(figure, "inside_conv_why", f"What speaks for {classes[0]} and for {classes[1]}")


def compare(
    networks: dict[str, tuple["Classifier", str]], digit: np.ndarray, target: int, method: str, known: dict[str, Found]
) -> dict[str, np.ndarray]:
    """What speaks for a class to each network; some is known already. All have one scale: where their units differ,
    each is a share of its strongest number."""
    others = [name for name in networks if name not in known]
    seen = background.side_by_side(lambda name: speaks(*networks[name], digit, (target,), method), others)
    found = known | dict(zip(others, seen, strict=True))
    found = {name: found[name] for name in COMPARED if name in found}
    heats = {name: of.heats[0] for name, of in found.items()}
    relative = method != OCCLUSION  # probabilities can be compared; logits and what layers make of them cannot
    if relative:
        heats = {name: heat / (np.abs(heat).max() or 1) for name, heat in heats.items()}
    titles = [
        f"<b>{MODELS[name].title}</b><br>" + (of.size if of.method == method else f"{of.method}<br>{of.size}")
        for name, of in found.items()
    ]
    figure = feature_maps.evidence(
        digit,
        np.stack(list(heats.values())),
        titles,
        "Do they look at the same strokes?",
        f"Why a {target} · " + ("each relative to its strongest" if relative else "all on one scale"),
        "share of the strongest" if relative else UNITS[method],
        WARM if method in LAYERED else None,
    )
    live_picture(figure, "inside_conv_compared", f"What speaks for {target}, to each network")
    return heats


# Asking a network; from any thread ------------------------------------------------------------------------------------


def speaks(
    classifier: "Classifier",
    identity: str,
    digit: np.ndarray,
    classes: tuple[int, ...],
    method: str,
    layer: "Layer | None" = None,
) -> Found:
    """What speaks for each class. Without a layer, methods that need one take the network's default."""
    from atelier.explain import gradcam

    if method == OCCLUSION:
        return Found(method, PIXELS, occluded(classifier, identity, digit)[list(classes)])
    if method == INTEGRATED:
        return Found(method, PIXELS, np.stack([integrated(classifier, identity, digit, each) for each in classes]))
    if classifier.spec.name == "vit":
        side = SIDE // classifier.network.config.patch_size
        return Found(ROLLOUT, f"{side} × {side} patches", rolled_out(classifier, identity, digit, classes))
    layer = layer or gradcam.default_layer(classifier)
    rows, columns = layer.convolution.shape[1:]
    size = f"layer {layer.number}, {rows} × {columns}"
    heats = cams(classifier, identity, digit, classes, method, layer)
    blank = tuple(target for target, heat in zip(classes, heats, strict=True) if not heat.any())
    if method == GRAD_CAM and blank:
        heats = cams(classifier, identity, digit, classes, HIRES_CAM, layer)
        return Found(HIRES_CAM, size, heats, blank)
    return Found(method, size, heats)


def cams(
    classifier: "Classifier", identity: str, digit: np.ndarray, classes: tuple[int, ...], method: str, layer: "Layer"
) -> np.ndarray:
    return np.stack([cam(classifier, identity, digit, target, method, layer, layer.number) for target in classes])


@st.cache_data(max_entries=200, show_spinner=False)
def cam(
    _classifier: "Classifier", identity: str, digit: np.ndarray, target: int, method: str, _layer: "Layer", number: int
) -> np.ndarray:
    from atelier.explain import gradcam

    look = gradcam.hires_cam if method == HIRES_CAM else gradcam.grad_cam
    return gradcam.enlarged(look(_classifier, digit, target, _layer), _layer)


@st.cache_data(max_entries=200, show_spinner=False)
def rolled_out(_classifier: "Classifier", identity: str, digit: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    from atelier.explain import attention

    patches = np.stack([attention.gradient_rollout(_classifier, digit, target) for target in classes])
    size = len(digit) // patches.shape[1]
    return np.kron(patches, np.ones((1, size, size), np.float32))


@st.cache_data(max_entries=200, show_spinner=False)
def integrated(_classifier: "Classifier", identity: str, digit: np.ndarray, target: int) -> np.ndarray:
    from atelier.explain import gradcam

    return gradcam.integrated_gradients(_classifier, digit, target)


@st.cache_data(max_entries=200, show_spinner=False)
def gained(_classifier: "Classifier", identity: str, digit: np.ndarray, target: int) -> float:
    from atelier.explain import gradcam

    return gradcam.score_gained(_classifier, digit, target)


@st.cache_data(max_entries=200, show_spinner=False)
def occluded(_classifier: "Classifier", identity: str, digit: np.ndarray) -> np.ndarray:
    from atelier.explain import gradcam

    return gradcam.occlusion(_classifier, digit)
