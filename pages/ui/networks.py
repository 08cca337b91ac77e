"""The networks of a visitor: which weights they have, and their answers to a digit."""

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from statistics import mode, multimode
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st

from atelier import MODELS
from atelier.checkpoint import CheckpointError
from atelier.runs import jobs, pool
from atelier.runs.folder import RunError
from atelier.zoo import ModelSpec

if TYPE_CHECKING:
    from atelier.classifier import Classifier

# A single digit keeps one core busy for milliseconds; more threads only get in each other's way when a class draws at
# once or a network trains beside. PyTorch reads this when it is imported, later.
if "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs.not_for_workers.add("OMP_NUM_THREADS")  # training takes all cores

POLL = 0.3  # seconds between looks at what is still loading
INVISIBLE = ("dropout", "fingerprint")  # settings that change nothing of what Look inside shows

state = st.session_state
_identities: WeakKeyDictionary["Classifier", str] = WeakKeyDictionary()


# Which weights: the shipped ones or a person's own run, for this browser session and in its link ----------------------


def chosen(model: str) -> str | None:
    """The id of the run that this session uses as a network; None for the shipped one."""
    return state.get("chosen_runs", {}).get(model)


def use_run(run_id: str, model: str) -> None:
    """From now on the network of this session is this run, on every page. If it cannot be loaded, its card says why."""
    state["chosen_runs"] = {**state.get("chosen_runs", {}), model: run_id}
    _complete_link()


def use_shipped(*models: str) -> None:
    """From now on these networks of this session are the shipped ones."""
    state["chosen_runs"] = {model: run for model, run in state.get("chosen_runs", {}).items() if model not in models}
    _complete_link()


def back_to_shipped() -> None:
    """A button, while any network is a person's own run."""
    if state.get("chosen_runs"):
        label, icon = "Back to the shipped networks", ":material/restart_alt:"
        st.button(label, icon=icon, key="back_to_shipped", on_click=use_shipped, args=tuple(MODELS))


def follow_link() -> None:
    """To be called before each page: a new session uses the runs that its link names (`?cnn=<run id>`). Later the link
    follows the session, for Streamlit empties it when the page changes."""
    if "chosen_runs" not in state:
        _take_over_link()
    elif state.get("previous_page") != state.get("page"):
        state["link_objection"] = ""
    _complete_link()
    if state.get("link_objection"):
        st.warning(state["link_objection"])


def _take_over_link() -> None:
    state["chosen_runs"], objections = {}, []
    for name in MODELS:
        if run_id := st.query_params.get(name):
            try:
                pool.run_checkpoint(name, run_id)
                state["chosen_runs"][name] = run_id
            except RunError as error:
                objections.append(str(error))
    state["link_objection"] = " ".join([*objections, "Shipped networks answer instead."] if objections else [])


def _complete_link() -> None:
    for name in MODELS:
        if name in st.query_params and chosen(name) is None:
            del st.query_params[name]
    if any(st.query_params.get(name) != run_id for name, run_id in state["chosen_runs"].items()):
        st.query_params.update(state["chosen_runs"])  # together: each change is a step for the browser's back button


# Loaded networks ------------------------------------------------------------------------------------------------------


def load(name: str) -> Future["Classifier"]:
    """The network that this session uses, see `pool.request`."""
    return pool.request(name, chosen(name))


def load_in_background() -> None:
    """Start to load all networks: those of this session, and the shipped ones, which are one click away."""
    for name in MODELS:
        load(name)
    pool.load_shipped(list(MODELS))


def network(name: str) -> "Classifier | None":
    """The network that this session uses; None, once the page has said why, while it loads or if it cannot."""
    promise, title = load(name), MODELS[name].title
    if not promise.done():
        st.info(f"{title} is still loading …", icon=":material/hourglass_empty:")
    elif promise.exception() is not None:
        st.warning(f"{title}: {said(promise.exception())}")
    else:
        return promise.result()
    return None


def loaded() -> dict[str, "Classifier"]:
    """The networks that can be asked by now, by name."""
    promises = {name: load(name) for name in MODELS}
    return {name: promise.result() for name, promise in promises.items() if promise.done() and not promise.exception()}


def choose_network(label: str, key: str, names: Iterable[str] = MODELS) -> str:
    """A choice among networks, the CNN at first."""
    return st.segmented_control(
        label,
        list(names),
        default="cnn",
        required=True,
        key=key,
        format_func=lambda name: MODELS[name].title,
        persist_state="session",
    )


def identity(name: str) -> str:
    """Another text for each set of weights that was ever loaded: what is computed from a network is kept under it.

    To be called once `network` has returned the network.
    """
    return _identities.setdefault(load(name).result(), uuid4().hex)


def differences(name: str) -> str:
    """In which sizes a person's own run differs from the usual network, in a sentence; empty if in none.

    To be called once `network` has returned the network.
    """
    config = load(name).result().network.config
    # By way of JSON, where tuples become lists: those of a checkpoint's card have been there already.
    own, usual = (json.loads(json.dumps(asdict(sizes))) for sizes in (config, type(config)()))
    told = [
        f"{size} {value} (usually {usual[size]})"
        for size, value in own.items()
        if size not in INVISIBLE and value != usual[size]
    ]
    return f"This {MODELS[name].title} is built differently: {', '.join(told)}." if told else ""


# Answers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What one network says to one digit, or why it does not."""

    spec: ModelSpec
    probabilities: np.ndarray | None = None  # float32[10]; None for a blank canvas, too
    milliseconds: float = 0.0
    problem: str = ""
    loading: bool = False

    @property
    def digit(self) -> int | None:
        return None if self.probabilities is None else int(self.probabilities.argmax())


def ask(spec: ModelSpec, digit: np.ndarray | None) -> Answer:
    """Ask one network, if it is loaded. A blank canvas (None) has no answer."""
    promise = load(spec.name)
    if not promise.done():
        return Answer(spec, loading=True)
    if promise.exception() is not None:
        return Answer(spec, problem=said(promise.exception()))
    if digit is None:
        return Answer(spec)
    started = time.perf_counter()
    probabilities = promise.result().predict_proba(digit[None])[0]
    return Answer(spec, probabilities, 1000 * (time.perf_counter() - started))


def said(error: BaseException | None) -> str:
    """Why a network could not be loaded, for the page."""
    if isinstance(error, (CheckpointError, RunError)):
        return str(error)
    return f"This network could not be loaded: {error}"


def loading(answers: list[Answer]) -> bool:
    return any(answer.loading for answer in answers)


def wait_for_a_network(answers: list[Answer]) -> None:
    """Run the page again as soon as one of the networks that were still loading can answer. The page itself is done, so
    that all that the visitor does meanwhile is answered at once, also inside a fragment."""
    missing = [answer.spec.name for answer in answers if answer.loading]

    def arrived() -> bool:
        return any(load(name).done() for name in missing)

    def look_again() -> None:
        if arrived():
            st.rerun()

    while st.context.url is None and not arrived():  # no browser would have the fragment look again: in AppTest
        time.sleep(POLL)
    st.fragment(look_again, run_every=POLL)()


def agreement(answers: list[Answer]) -> str:
    """How many networks agree, in a line."""
    digits = [answer.digit for answer in answers if answer.digit is not None]
    if len(digits) < 2:
        return ""
    top = mode(digits)
    if digits.count(top) == len(digits):
        return f"All {len(digits)} networks say {top}."
    if len(multimode(digits)) > 1:
        return f"The networks disagree: {' or '.join(map(str, sorted(set(digits))))}."
    return f"{digits.count(top)} of {len(digits)} networks say {top}."


def ask_once(spec: ModelSpec, digit: np.ndarray) -> Answer:
    """As `ask`, but once for each digit."""
    promise = load(spec.name)
    if promise.done() and not promise.exception():
        return _asked(spec.name, identity(spec.name), digit)
    return ask(spec, digit)


@st.cache_data(max_entries=500, show_spinner=False)
def _asked(name: str, identity: str, digit: np.ndarray) -> Answer:
    return ask(MODELS[name], digit)
