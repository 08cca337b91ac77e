"""Look inside, Vision Transformer: from patches to an answer, and the attention on the way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd
import streamlit as st
from plotly.graph_objects import Figure

from atelier import zoo
from atelier.data import mnist
from atelier.data.mnist import CLASSES, SIDE
from atelier.figures import panels, patches
from atelier.zoo import Family
from pages.ui import networks, parts
from pages.ui.live import live_figure

if TYPE_CHECKING:
    from atelier.classifier import Classifier

PANELS = 330  # pixels: narrower figures stand below each other
STATION, LARGE, LINES = 380, 520, 420  # heights of figures in pixels
MEASURED, PART = 250, 25  # test digits for the distances, and how many between two steps of the progress bar
FUSIONS = {"mean": "Mean", "max": "Maximum", "min": "Minimum"}

state = st.session_state

# Functions import `atelier.explain.attention` when they need it: it brings PyTorch, which takes seconds.


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    names = zoo.of_family(Family.TRANSFORMER)
    name = names[0] if len(names) == 1 else networks.choose_network("Network", "inside_transformer", names)
    classifier = networks.network(name)
    if classifier is None:
        return
    stations(classifier, digit)
    attention_maps(classifier, digit)
    rollouts(classifier, digit)
    logit_lens(classifier, digit)
    distances(classifier)


# From patches to scores ----------------------------------------------------------------------------------------------


def stations(classifier: "Classifier", digit: np.ndarray) -> None:
    """Six figures, from the patches of the digit to the ten scores."""
    from atelier.explain import attention

    parts.heading(
        "How does an image become an answer?",
        "Six steps, from patches to ten scores. Each step uses the result of the step before.",
        "Logits are the ten scores. The softmax function turns them into probabilities.",
    )
    passage, weights = attention.forward_pass(classifier, digit), classifier.attention(digit)
    similarity, size = attention.position_similarity(classifier), passage.patches.shape[1]
    class_token, width = passage.tokens[:, 0], passage.tokens.shape[2]
    collected = attention.patch_map(weights[:, :, 0].mean(1))
    with st.grid(3, min_column_width=PANELS):  # each is sent as soon as it is drawn
        station(1, patches.patches(digit, size), "The digit, cut into numbered patches")
        subtitle = f"{width} numbers each; empty patches are all the same"
        figure = patches.vectors(
            passage.embedded, "Patch", 1, "What does a patch become?", subtitle, classifier.spec.colour
        )
        station(2, figure, "The embedding of each patch")
        station(3, panels.position_similarity(similarity), "The similarity of any two position embeddings")
        station(
            4,
            patches.class_token_attention(digit, collected, classifier.spec.colour),
            "The attention of the class token in each block",
        )
        subtitle = "Its numbers after each block; 0: before the first"
        figure = patches.vectors(
            class_token, "Block", 0, "How does the class token change?", subtitle, classifier.spec.colour
        )
        station(5, figure, "The class token's numbers after each block")
        station(6, patches.logits(passage.logits, classifier.spec.colour), "The ten scores", last=True)
    st.caption(
        "Step 3: a position embedding is added to each patch. One small map per position shows which others are "
        "similar. The class token is an extra token without a patch. The answer is read from it."
    )
    arrays = {**vars(passage), "position_similarity": similarity, "collected": collected}
    parts.download("All six steps (NPZ)", lambda: parts.npz(**arrays), "vit_stations.npz")


def station(number: int, figure: Figure, alt: str, last: bool = False) -> None:
    """Show a figure with its number in the title, and an arrow to the next."""
    title, end = figure.layout.title, "</b>" if last else " →</b>"
    title.text = title.text.replace("<b>", f"<b>{number} · ", 1).replace("</b>", end, 1)
    live_figure(figure, f"inside_station_{number}", STATION, alt)


# Attention of one token ----------------------------------------------------------------------------------------------


@st.fragment
def attention_maps(classifier: "Classifier", digit: np.ndarray) -> None:
    """The attention of one token in all layers and heads, one of them large."""
    from atelier.explain import attention

    weights = classifier.attention(digit)
    layers, heads, tokens = weights.shape[:3]
    parts.heading(
        "Where does it look?",
        "Each head spreads 100% attention over all patches. Colour shows how much each gets. "
        "**Click** a small picture to enlarge it, or a patch to start from it.",
    )
    keep_within("inside_layer", range(1, layers + 1), layers)
    keep_within("inside_head", range(1, heads + 1), 1)
    keep_within("inside_token", range(tokens), 0)
    with st.grid(3, min_column_width=140):
        layer = st.selectbox("Layer", range(1, layers + 1), key="inside_layer")
        head = st.selectbox("Head", range(1, heads + 1), key="inside_head")
        token = st.selectbox("Attention of", range(tokens), key="inside_token", format_func=patches.token_name)
    name = patches.token_name(token)
    maps, row = attention.patch_map(weights[:, :, token]), weights[layer - 1, head - 1, token]
    with st.grid(2, min_column_width=PANELS):
        live_figure(
            patches.head_attention(digit, maps, token, (layer, head), classifier.spec.colour),
            "inside_heads",
            190 + layers * min(90, max(36, 560 // layers)),
            f"Attention of {name} in each layer and head",
            head_clicked,
        )
        live_figure(
            patches.token_attention(digit, row, token, layer, head, classifier.spec.colour),
            "inside_looks",
            LARGE,
            f"Attention of {name} in layer {layer}, head {head}",
            token_clicked,
        )
    parts.download("Attention of all layers and heads (NPZ)", lambda: parts.npz(attention=weights), "vit_attention.npz")


def head_clicked(point: dict[str, Any]) -> None:
    layer, head, *_ = point["customdata"]
    state.update(inside_layer=layer, inside_head=head)


def token_clicked(point: dict[str, Any]) -> None:
    state.inside_token = point["customdata"]


def keep_within(key: str, options: Sequence[int], default: int) -> None:
    """Reset a choice that this network does not have.

    Assigned in every run: a page that runs again while its networks load would lose the first assignment.
    """
    state[key] = state[key] if state.get(key) in options else default


# Attention through all layers ----------------------------------------------------------------------------------------


@st.fragment
def rollouts(classifier: "Classifier", digit: np.ndarray) -> None:
    """Attention traced through all layers, with and without gradients."""
    from atelier.explain import attention

    parts.heading(
        "Which patches lead to the answer?",
        "Attention traced through all layers. The gradient rollout keeps only what supports the chosen digit.",
        "Attention rollout: Abnar and Zuidema 2020, arXiv:2005.00928. "
        "Gradient rollout: Chefer et al. 2021, arXiv:2103.15679.",
    )
    target, fusion, discard = rollout_controls(classifier, digit)
    rolled = attention.rollout(classifier.attention(digit), fusion, discard)
    supporting = attention.gradient_rollout(classifier, digit, target, fusion, discard)
    with st.grid(2, min_column_width=PANELS):
        figure = patches.rollout(digit, rolled, classifier.spec.colour)
        live_figure(figure, "inside_rollout", LARGE, "How much of each patch reaches the answer")
        figure = patches.gradient_rollout(digit, supporting, target, classifier.spec.colour)
        live_figure(figure, "inside_gradient_rollout", LARGE, f"How much each patch supports {target}")
    if not supporting.any():
        st.caption(f"No patch supports {target} with these settings.")
    parts.download(
        "Both maps (NPZ)", lambda: parts.npz(rollout=rolled, gradient_rollout=supporting), f"vit_rollout_{target}.npz"
    )


def rollout_controls(classifier: "Classifier", digit: np.ndarray) -> tuple[int, str, float]:
    """The class to explain, a key of FUSIONS, and the share of attention to discard."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        fusion = st.segmented_control(
            "Combine heads by",
            list(FUSIONS),
            default="mean",
            required=True,
            format_func=FUSIONS.get,
            key="inside_fusion",
        )
        discard = st.slider(
            "Discard the weakest attention", 0, 95, 0, 5, format="%d%%", key="inside_discard", width=280,
            help="This share of each layer's attention values becomes 0. The strong paths remain.",
        )  # fmt: skip
    answer = int(classifier.predict(digit[None])[0])
    question = f"{networks.identity(classifier.spec.name)}_{crc32(digit.tobytes())}"  # each begins with its own answer
    key = f"inside_target_{question}"
    target = st.segmented_control("Why this class?", range(CLASSES), default=answer, required=True, key=key)
    return target, fusion, discard / 100


# Over the layers -----------------------------------------------------------------------------------------------------


def logit_lens(classifier: "Classifier", digit: np.ndarray) -> None:
    """How the class probabilities form."""
    from atelier.explain import attention

    parts.heading(
        "When does it know?",
        "The head reads the class token after each block, as if the network ended there. Each line is one digit.",
        "This is the logit lens (nostalgebraist 2020). Logits are scores before the softmax function.",
    )
    probabilities = attention.logit_lens(classifier, digit)
    live_figure(
        patches.logit_lens(probabilities, classifier.spec.colour),
        "inside_lens",
        LINES,
        "Probability of each digit after each block",
    )
    table = pd.DataFrame(probabilities).rename_axis("blocks")
    parts.download("Probabilities by block (CSV)", lambda: table.to_csv(), "vit_logit_lens.csv")


@st.fragment
def distances(classifier: "Classifier") -> None:
    """The mean attention distance of each head, over many digits."""
    from atelier.explain import attention

    parts.heading(
        "Does it look near or far?",
        "Each dot is a head. Low dots attend to patches nearby, as a convolution does.",
        f"The mean attention distance over {MEASURED} test digits (Dosovitskiy et al. 2020, figure 7, "
        "arXiv:2010.11929).",
    )
    identity = networks.identity(classifier.spec.name)
    if state.get("inside_measured") != identity:
        st.button(
            "Measure",
            icon=":material/straighten:",
            key="inside_measure",
            on_click=state.update,
            kwargs={"inside_measured": identity},
        )
        return
    pixels = measure(classifier, identity)
    if pixels is None:
        return
    tokens = (SIDE // classifier.network.config.patch_size) ** 2 + 1
    uniform = float(attention.attention_distance(np.full((tokens, tokens), 1 / tokens)))
    figure = patches.attention_distances(pixels, uniform, classifier.spec.colour)
    live_figure(figure, "inside_distances", LINES, "Mean attention distance of each head")
    layers, heads = (range(1, count + 1) for count in pixels.shape)
    table = pd.DataFrame(pixels, layers, heads).rename_axis("layer").add_prefix("head ")
    parts.download("Distances in pixels (CSV)", lambda: table.to_csv(), "vit_attention_distance.csv")


def measure(classifier: "Classifier", identity: str) -> np.ndarray | None:
    """Mean distances in pixels `float[layers, heads]`, with a progress bar; None if the digits are damaged."""
    place, measured = st.empty(), []
    try:
        for part in range(MEASURED // PART):
            place.progress(part * PART / MEASURED, f"{part * PART} of {MEASURED} digits")
            measured.append(distances_of_part(classifier, identity, part))
    except mnist.DamagedDataError as error:
        place.warning(str(error))
        return None
    place.empty()
    return np.mean(measured, axis=0)


@st.cache_data(max_entries=500, show_spinner=False)
def distances_of_part(_classifier: "Classifier", identity: str, part: int) -> np.ndarray:
    """Mean distances `float[layers, heads]` over PART of the MEASURED digits."""
    from atelier.explain import attention

    images, _ = mnist.load("test")
    chosen = images[:: len(images) // MEASURED][part * PART : (part + 1) * PART]
    return attention.mean_attention_distance(_classifier, chosen)
