"""Look inside: why each network answered as it did."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.figures import plotting
from pages.ui import background, cards, digit_choice, navigation, networks, parts
from pages.ui.live import expect_figures
from pages.views.inside import all_networks, conv, detector, vit_view

if TYPE_CHECKING:
    from atelier.classifier import Classifier

VIEWS = {
    "All five": all_networks.show,
    "Convolutions": conv.show,
    "Vision Transformer": vit_view.show,
    "Faster R-CNN": detector.show,
}
METHODS = {  # how evidence is found
    "HiResCAM": "where the maps of a deep layer speak for the answer.",
    "integrated gradients": "which pixels add to the answer's score.",
    "gradient rollout": "from which patches attention brings what speaks for the answer.",
    "its proposals": "where boxes lie that look like the answer; the white frame is the box that it answers with.",
    "its proposals: none": "it found no place for a box.",
}
UNSURE = 0.5  # who is less sure has not recognised the digit
STYLE = """<style>
.scale { display: flex; align-items: center; gap: 0.4rem; font-size: 0.85rem; margin-top: 0.3rem; }
.scale i { flex: 1; height: 0.7rem; background: linear-gradient(90deg, black, var(--colour)); }
</style>"""

navigation.through_app()
cards.style()


@st.cache_data(max_entries=100, show_spinner=False)
def evidence(
    _networks: list["Classifier"], identities: list[str], digit: np.ndarray, targets: list[int]
) -> list[tuple[np.ndarray, str, str]]:
    """Each network's evidence for its target `float32[28, 28]`, as an image's address too, and how it was found."""
    from atelier.explain.evidence import evidence, picture

    def seek(network: "Classifier", target: int) -> tuple[np.ndarray, str, str]:
        seen = evidence(network, digit, target)
        return seen.heat, plotting.png(picture(digit, seen, network.spec.colour)), seen.method

    return background.side_by_side(seek, _networks, targets)


def summary(answers: list[networks.Answer], truth: int | None) -> str:
    """What the answers come to; empty until there are two."""
    given = [answer for answer in answers if answer.digit is not None]
    told = networks.agreement(answers)
    if networks.loading(answers) or not told:
        return told
    if truth is not None and truth not in {answer.digit for answer in given}:
        return f"{told} It is a {truth}: no network recognises it."
    if max(answer.probabilities.max() for answer in given) < UNSURE:
        return f"{told} But no network is even {UNSURE:.0%} sure: none recognises a digit."
    return told


@st.fragment  # another view leaves what is above as it is
def look_closer(digit: np.ndarray) -> None:
    view = st.segmented_control(
        "Look closer", list(VIEWS), default="All five", required=True, key="view", bind="query-params"
    )
    VIEWS[view](digit)


digit, truth = digit_choice.choose()
if digit is None:
    st.stop()

answers = [networks.ask_once(spec, digit) for spec in MODELS.values()]
st.subheader("Why did each of them answer so?")
with st.container():  # one element, empty or not: what follows keeps its place when a network arrives
    if told := summary(answers, truth):
        st.markdown(f"**{told}**")
st.markdown(
    "Colour marks where each network found what speaks for **its own answer**: the stronger the colour, the more, in "
    "percent of its strongest place; beside the ink it is half as bright. Ink without colour says nothing to it."
)
st.html(STYLE)
given, found = {answer.spec.name: answer.digit for answer in answers if answer.digit is not None}, {}
if given:
    loaded, identities = [networks.load(name).result() for name in given], [networks.identity(name) for name in given]
    found = dict(zip(given, evidence(loaded, identities, digit, list(given.values())), strict=True))
with st.grid("auto", min_column_width=165):
    for answer in answers:
        name, colour = answer.spec.name, answer.spec.colour
        with st.container(border=True, height="stretch"):
            st.html(cards.head(answer.spec) + cards.run(answer.spec))
            with st.container(key=f"evidence_{name}"):
                if name not in found:
                    networks.network(name)  # says why
                    continue
                _, source, method = found[name]
                told = f"What in the digit spoke for {answer.digit}, to {answer.spec.title}"
                st.html(
                    f'<img class="seen" alt="{told}" src="{source}">'
                    f'<div class="scale" style="--colour: {colour}">0%<i></i>100%</div>'
                    f'<div class="confidence">{answer.digit}, {answer.probabilities.max():.1%} sure</div>'
                    f'<div class="note">by {method}</div>'
                )
    with st.container(border=True, height="stretch", key="inside_digit"):
        st.html(cards.picture(digit))
with st.container():
    for differences in filter(None, map(networks.differences, found)):
        st.caption(differences)
    if methods := dict.fromkeys(method for *_, method in found.values()):
        st.caption(" ".join(f"**By {method}**: {METHODS[method]}" for method in methods))
heats = {name: heat for name, (heat, *_) in found.items()}
parts.download("The five maps (NPZ)", lambda: parts.npz(digit=digit, **heats), "evidence.npz")

look_closer(digit)
expect_figures()
if networks.loading(answers):
    networks.wait_for_a_network(answers)
