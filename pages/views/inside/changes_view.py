"""Look inside, all five: what would change each network's mind, by hand, by search, and (`against`) on purpose."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from atelier import MODELS
from atelier.figures import plotting
from pages.ui import background, cards, networks, parts
from pages.ui.live import live_figure, live_picture

if TYPE_CHECKING:
    from atelier.classifier import Classifier
    from atelier.explain.perturbations import Flip

EPSILONS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25)  # steps of the fast gradient sign method: most happens early
SLIDERS = {  # what can be done to the digit: label, range, step, format
    "right": ("Shift to the right, pixels", -14.0, 14.0, 1.0, "%.0f"),
    "down": ("Shift down, pixels", -14.0, 14.0, 1.0, "%.0f"),
    "rotation": ("Rotation clockwise, degrees", -180.0, 180.0, 5.0, "%.0f"),
    "thickness": ("Thickness on each side, pixels", -4.0, 4.0, 0.25, "%.2f"),
    "noise": ("Noise, share of full brightness", 0.0, 1.0, 0.05, "%.2f"),
}

state = st.session_state


def show(digit: np.ndarray) -> None:
    """By hand and by search, for a digit `uint8[28, 28]`."""
    sliders(digit)
    searches(digit)


# By hand -------------------------------------------------------------------------------------------------------------


@st.fragment(parallel=True)
def sliders(digit: np.ndarray) -> None:
    from atelier.explain.perturbations import perturb

    parts.question("What would change its mind?", "Move a slider: the digit changes, and all networks read it anew.")
    with st.grid("auto", min_column_width=180):
        amounts = {
            name: st.slider(label, low, high, 0.0, step, format=form, key=f"inside_{name}", persist_state="page")
            for name, (label, low, high, step, form) in SLIDERS.items()
        }
    st.button("As it was", icon=":material/restart_alt:", key="inside_as_it_was", on_click=as_it_was)
    shift = amounts.pop("right"), amounts.pop("down")
    changed = perturb(digit, shift=shift, **amounts)
    if not changed.any():
        st.info(
            "Nothing is left of the digit: move a slider back, or put all **as it was**.", icon=":material/ink_eraser:"
        )
    answers = asked(changed)
    before = answers if np.array_equal(changed, digit) else asked(digit)
    with st.grid("auto", min_column_width=165):
        for name, spec in MODELS.items():
            answer, first = answers[name], before[name].digit
            note = "&nbsp;" if answer.digit is None else "as before" if answer.digit == first else f"before: {first}"
            with st.container(border=True, height="stretch", key=f"inside_changed_{name}"):
                st.html(
                    cards.head(spec)
                    + cards.digit(answer, hidden=False)
                    + f'<div class="note">{note}</div>'
                    + cards.details(answer, hidden=False)
                )
        with st.container(border=True, height="stretch"):
            st.html(
                '<div class="network" style="border-color: gray">Changed</div>'
                f'<img class="seen" alt="The changed digit" src="{plotting.png(changed)}">'
            )
    said = {name: answer.probabilities for name, answer in answers.items() if answer.probabilities is not None}
    parts.download(
        "Changed digit and answers (NPZ)", lambda: parts.npz(digit=digit, changed=changed, **said), "changed.npz"
    )


def asked(digit: np.ndarray) -> dict[str, networks.Answer]:
    return {name: networks.ask_once(spec, digit) for name, spec in MODELS.items()}


def as_it_was() -> None:
    state.update({f"inside_{name}": 0.0 for name in SLIDERS})


# By search -----------------------------------------------------------------------------------------------------------


@st.fragment(parallel=True)
def searches(digit: np.ndarray) -> None:
    from atelier.explain.perturbations import KINDS
    from atelier.figures import changes

    parts.question(
        "How little is enough?",
        "Choose what may change: the smallest change that flips each answer is searched, and shown with what the "
        "network says then.",
    )
    if state.get("inside_searched_digit") != digit.tobytes():
        state.update(inside_searched_digit=digit.tobytes(), inside_searched=[])
    with st.container(horizontal=True):
        for kind, way in KINDS.items():
            st.button(way.title, icon=":material/search:", key=f"inside_search_{kind}", on_click=search, args=(kind,))
    kinds, loaded = state.inside_searched, networks.loaded()
    if not kinds:
        return
    found = found_flips(digit, loaded, kinds)
    table = pd.DataFrame(
        [
            {
                "Network": MODELS[name].title,
                "Change": KINDS[kind].title,
                "Smallest": flip.size if flip else f"none up to {KINDS[kind].unit.format(KINDS[kind].tries[-1][0])}",
                "Direction": flip.direction if flip else "",
                "New answer": str(flip.answer) if flip else "",
                "Measured": KINDS[kind].measure,
            }
            for (name, kind), flip in found.items()
        ]
    )
    figure = changes.flips(list(loaded), kinds, found)
    with st.grid("auto", min_column_width=parts.WIDE):
        alt = "For each network the least changed digits that it takes for another"
        live_picture(figure, "inside_flips", alt, tallest=parts.TALLEST)
        with st.container():
            st.dataframe(table, hide_index=True)
            parts.download("Table (CSV)", table.to_csv(index=False), "smallest_changes.csv")
            digits = {f"{name}_{kind}": flip.digit for (name, kind), flip in found.items() if flip}
            parts.download("Changed digits (NPZ)", lambda: parts.npz(**digits), "smallest_changes.npz")


def search(kind: str) -> None:
    if kind not in state.inside_searched:
        state.inside_searched = [*state.inside_searched, kind]


def found_flips(
    digit: np.ndarray, networks: dict[str, "Classifier"], kinds: list[str]
) -> dict[tuple[str, str], "Flip | None"]:
    """By network and kind."""
    found, place = {}, st.empty()
    wanted = [(name, kind) for name in networks for kind in kinds]
    for number, (name, kind) in enumerate(wanted):
        place.progress(number / len(wanted), f"Searching: {MODELS[name].title}, {kind} …")
        found[name, kind] = flip(networks[name], networks.identity(name), digit, kind)
    place.empty()
    return found


@st.cache_data(max_entries=500, show_spinner=False)
def flip(_classifier: "Classifier", identity: str, digit: np.ndarray, kind: str) -> "Flip | None":
    from atelier.explain.perturbations import smallest_flip

    return smallest_flip(_classifier, digit, kind)


# On purpose ----------------------------------------------------------------------------------------------------------


@st.fragment(parallel=True)
def against(digit: np.ndarray) -> None:
    from atelier.explain.perturbations import step
    from atelier.figures import changes

    parts.question(
        "What if somebody knows the network and wants it to fail?",
        "The fast gradient sign method makes each pixel brighter (red) or darker (blue) by ε, whichever makes this "
        "network less sure. From top to bottom: the digit, the step, the result.",
    )
    kept = {"key": "inside_epsilon", "persist_state": "page"}
    epsilon = st.select_slider("ε, share of full brightness", EPSILONS, 0.04, format_func="{:.0%}".format, **kept)
    loaded = networks.loaded()
    names, identities = list(loaded), map(networks.identity, loaded)
    found = background.side_by_side(partial(attack, digit=digit), loaded.values(), identities)
    signs, probabilities = map(np.array, zip(*found, strict=True))
    results = [step(digit, sign, epsilon) for sign in signs]
    before, after = probabilities[:, 0], probabilities[:, EPSILONS.index(epsilon)]
    answers = before.argmax(axis=1)
    sure = np.take_along_axis(probabilities, answers[:, None, None], axis=2)[..., 0]
    with st.grid("auto", min_column_width=parts.WIDE):
        figure = changes.steps(names, digit, signs, results, before, after)
        alt = "For each network the digit, the step against it and the result"
        live_picture(figure, "inside_fooled", alt, tallest=parts.TALLEST)
        figure = changes.certainty(names, np.array(EPSILONS), sure, answers)
        live_figure(figure, "inside_certainty", 480, "How sure each network stays as ε grows")
    arrays = {"networks": names, "signs": signs, "epsilon": epsilon, "results": results}
    arrays |= {"epsilons": EPSILONS, "probabilities": probabilities}
    parts.download("Steps (NPZ)", lambda: parts.npz(digit=digit, **arrays), "steps.npz")


def ahead(digit: np.ndarray) -> Iterator[Callable[[], object]]:
    """What `against` will ask for."""
    for name, network in networks.loaded().items():
        if not networks.differences(name):  # a larger one of a person's own may take long and much memory
            yield partial(attack, network, networks.identity(name), digit)


@st.cache_data(max_entries=500, show_spinner=False)
def attack(_network: "Classifier", identity: str, digit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sign of a network's gradient `int8[28, 28]`, and what it says after steps of EPSILONS `float32[E, 10]`."""
    from atelier.explain.perturbations import gradient_sign, step

    sign = gradient_sign(_network, digit)
    return sign, _network.predict_proba(np.array([step(digit, sign, epsilon) for epsilon in EPSILONS]))
