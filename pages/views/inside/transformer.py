"""Look inside, Vision Transformer: from patches to an answer, and where it looks on the way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd
import streamlit as st
from plotly.graph_objects import Figure

from atelier.data import mnist
from atelier.figures import patches
from atelier.figures.curves import position_similarity
from pages.ui import networks, parts
from pages.ui.live import live_figure

if TYPE_CHECKING:
    from atelier.classifier import Classifier

PANELS = 330  # pixels: narrower figures go below each other
STATION, LARGE, LINES = 380, 520, 420  # heights of figures in pixels
MEASURED, PART = 250, 25  # test digits for the distances, and how many between two steps of the progress bar
FUSIONS = {"mean": "Mean", "max": "Maximum", "min": "Minimum"}

state = st.session_state

# Functions import `atelier.explain.attention` when they need it: it brings PyTorch, which takes seconds.


def show(digit: np.ndarray) -> None:
    """The view, for a digit `uint8[28, 28]`."""
    classifier = networks.network("vit")
    if classifier is None:
        return
    stations(classifier, digit)
    attention_maps(classifier, digit)
    rollouts(classifier, digit)
    lens(classifier, digit)
    distances(classifier)


def stations(classifier: "Classifier", digit: np.ndarray) -> None:
    """What the digit becomes on its way, from left to right."""
    from atelier.explain import attention

    parts.heading(
        "How does a picture become an answer?",
        "Six stations, read like a line of text: each takes what the one before has made.",
    )
    passage, weights = attention.passage(classifier, digit), classifier.attention(digit)
    similarity, size = attention.position_similarity(classifier), passage.patches.shape[1]
    class_token, width = passage.tokens[:, 0], passage.tokens.shape[2]
    collected = attention.patch_map(weights[:, :, 0].mean(1))
    with st.grid(3, min_column_width=PANELS):  # each is sent as soon as it is drawn
        station(1, patches.patches(digit, size), "The digit, cut into numbered patches")
        embedded = patches.vectors(
            passage.embedded, "Patch", 1, "What does a patch become?", f"{width} numbers; empty patches become the same"
        )
        station(2, embedded, "The numbers that each patch becomes")
        station(3, position_similarity(similarity), "How alike the added numbers of any two places are")
        station(4, patches.class_token_attention(digit, collected), "Where the class token looks in each block")
        filled = patches.vectors(
            class_token, "Block", 0, "What fills the class token?", "Its numbers after each block; 0: before the first"
        )
        station(5, filled, "The class token's numbers after each block")
        station(6, patches.logits(passage.logits), "The ten scores", last=True)
    st.caption(
        "Station 3: each place has numbers of its own, which are added to its patch; one small map for each place, "
        "bright where it finds others alike. The class token is a token without a picture: the answer is read from it."
    )
    numbers = {**vars(passage), "position_similarity": similarity, "collected": collected}
    parts.download("All six stations (NPZ)", lambda: parts.npz(**numbers), "vit_stations.npz")


def station(number: int, figure: Figure, alt: str, last: bool = False) -> None:
    heading, end = figure.layout.title, "</b>" if last else " →</b>"
    heading.text = heading.text.replace("<b>", f"<b>{number} · ", 1).replace("</b>", end, 1)
    live_figure(figure, f"inside_station_{number}", STATION, alt)


@st.fragment
def attention_maps(classifier: "Classifier", digit: np.ndarray) -> None:
    """All layers and heads, one of them large; from the class token or from any patch."""
    from atelier.explain import attention

    weights = classifier.attention(digit)
    layers, heads, tokens = weights.shape[:3]
    parts.heading(
        "Where does it look?",
        "In each layer, each head lets a token look at all others: colour shows where, and a token's looks make 100%.",
    )
    _choose_within("inside_layer", range(1, layers + 1), layers)
    _choose_within("inside_head", range(1, heads + 1), 1)
    _choose_within("inside_token", range(tokens), 0)
    with st.grid(3, min_column_width=140):
        layer = st.selectbox("Layer", range(1, layers + 1), key="inside_layer")
        head = st.selectbox("Head", range(1, heads + 1), key="inside_head")
        token = st.selectbox("Looks from", range(tokens), key="inside_token", format_func=patches.token_name)
    maps, row = attention.patch_map(weights[:, :, token]), weights[layer - 1, head - 1, token]
    with st.grid(2, min_column_width=PANELS):
        live_figure(
            patches.head_attention(digit, maps, token, (layer, head)),
            "inside_heads",
            190 + layers * min(90, max(36, 560 // layers)),
            f"Where {patches.token_name(token)} looks in each layer and head",
            _head_clicked,
        )
        live_figure(
            patches.token_attention(digit, row, token, layer, head),
            "inside_looks",
            LARGE,
            f"Where {patches.token_name(token)} looks in layer {layer}, head {head}",
            _token_clicked,
        )
    parts.download("Attention of all layers and heads (NPZ)", lambda: parts.npz(attention=weights), "vit_attention.npz")


def _head_clicked(point: dict[str, Any]) -> None:
    layer, head, *_ = point["customdata"]
    state.update(inside_layer=layer, inside_head=head)


def _token_clicked(point: dict[str, Any]) -> None:
    state.inside_token = point["customdata"]


def _choose_within(key: str, options: Sequence[int], default: int) -> None:
    """What another network had, and this one has not, gives way."""
    if state.get(key) not in options:
        state[key] = default


@st.fragment
def rollouts(classifier: "Classifier", digit: np.ndarray) -> None:
    """Attention followed through all layers, with and without gradients."""
    from atelier.explain import attention

    parts.heading(
        "Which patches does the answer come from?",
        "Attention is followed through all layers, detours too: the rollout counts all that arrives, the gradient "
        "rollout only what speaks for one digit.",
    )
    answer = int(classifier.predict(digit[None])[0])
    asked_about = f"{networks.identity('vit')}_{crc32(digit.tobytes())}"  # another answer, another question
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        fusion = st.segmented_control(
            "Heads together", list(FUSIONS), default="mean", required=True, format_func=FUSIONS.get, key="inside_fusion"
        )
        discard = st.slider(
            "Discard the weakest", 0, 95, 0, 5, format="%d%%", key="inside_discard", width=280,
            help="So many of each layer's smallest attentions count as nothing: the strong paths stay.",
        )  # fmt: skip
    target = st.segmented_control(
        "Why this digit?", range(10), default=answer, required=True, key=f"inside_target_{asked_about}"
    )
    rolled = attention.rollout(classifier.attention(digit), fusion, discard / 100)
    pulled = attention.gradient_rollout(classifier, digit, target, fusion, discard / 100)
    with st.grid(2, min_column_width=PANELS):
        live_figure(
            patches.rollout(digit, rolled), "inside_rollout", LARGE, "How much of each patch reaches the answer"
        )
        live_figure(
            patches.gradient_rollout(digit, pulled, target),
            "inside_gradient_rollout",
            LARGE,
            f"How much each patch speaks for {target}",
        )
    if not pulled.any():
        st.caption(f"Nothing speaks for {target} when the heads are put together like this.")
    parts.download(
        "Both maps (NPZ)", lambda: parts.npz(rollout=rolled, gradient_rollout=pulled), f"vit_rollout_{target}.npz"
    )
    st.caption(
        "Rollout: Abnar and Zuidema 2020, arXiv:2005.00928 · gradient rollout: Chefer et al. 2021, arXiv:2103.15679"
    )


def lens(classifier: "Classifier", digit: np.ndarray) -> None:
    """How the class probabilities form."""
    from atelier.explain import attention

    parts.heading(
        "When does it know?",
        "After each block the head reads the class token, as if the network ended there: each line is one digit.",
    )
    shares = attention.logit_lens(classifier, digit)
    live_figure(patches.logit_lens(shares), "inside_lens", LINES, "Probability of each digit after each block")
    table = pd.DataFrame(shares).rename_axis("blocks")
    parts.download("Probabilities by block (CSV)", lambda: table.to_csv(), "vit_logit_lens.csv")


@st.fragment
def distances(classifier: "Classifier") -> None:
    """How far each head looks, over many digits."""
    from atelier.explain import attention

    parts.heading(
        "Does it look near or far?",
        f"How far patches look, on average over {MEASURED} test digits: low dots are heads that look nearby, as a "
        "convolution does.",
    )
    identity = networks.identity("vit")
    if state.get("inside_measured") != identity:
        st.button("Measure", icon=":material/straighten:", on_click=state.update, kwargs={"inside_measured": identity})
        return
    place, measured = st.empty(), []
    try:
        for part in range(MEASURED // PART):
            place.progress(part * PART / MEASURED, f"{part * PART} of {MEASURED} digits")
            measured.append(_part(classifier, identity, part))
    except mnist.DamagedDataError as error:
        place.warning(str(error))
        return
    place.empty()
    pixels = np.mean(measured, axis=0)
    tokens = (28 // classifier.network.config.patch_size) ** 2 + 1
    everywhere = float(attention.attention_distance(np.full((tokens, tokens), 1 / tokens)))
    live_figure(patches.attention_distances(pixels, everywhere), "inside_distances", LINES, "How far each head looks")
    layers, heads = (range(1, count + 1) for count in pixels.shape)
    table = pd.DataFrame(pixels, layers, heads).rename_axis("layer").add_prefix("head ")
    parts.download("Distances in pixels (CSV)", lambda: table.to_csv(), "vit_attention_distance.csv")
    st.caption("As in figure 7 of Dosovitskiy et al. 2020, arXiv:2010.11929")


@st.cache_data(max_entries=500, show_spinner=False)
def _part(_classifier: "Classifier", identity: str, part: int) -> np.ndarray:
    """`float[layers, heads]`: the mean distance over some of the digits that are measured."""
    from atelier.explain import attention

    images, _ = mnist.load("test")
    return attention.mean_attention_distance(
        _classifier, images[:: len(images) // MEASURED][part * PART : (part + 1) * PART]
    )
