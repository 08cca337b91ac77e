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
from atelier.runs import jobs
from atelier.runs.folder import RunError
from atelier.runs.pool import Pool, run_checkpoint
from atelier.zoo import ModelSpec

if TYPE_CHECKING:
    from atelier.classifier import Classifier

# A single digit keeps one core busy for milliseconds; more threads only get in each other's way when a class draws at
# once or a network trains in the background. PyTorch reads this when it is imported, later.
if "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs.not_for_workers.add("OMP_NUM_THREADS")  # training takes all cores

POLL = 0.3  # seconds between two checks of networks that are loading
INVISIBLE = ("dropout", "fingerprint")  # settings that change no structure that Look inside shows

state = st.session_state
POOL = Pool()  # of all visitors
_identities: WeakKeyDictionary["Classifier", str] = WeakKeyDictionary()


# Which weights: ready-made, or a visitor's own run. The choice lies in the session and in its link. -------------------


def chosen(model: str) -> str | None:
    """The id of the run that this visitor uses as a network; None for the shipped weights."""
    return state.get("chosen_runs", {}).get(model)


def use_run(run_id: str, model: str) -> None:
    """Use a run as this network, on every page. If it cannot be loaded, its card gives the reason."""
    state.chosen_runs = {**state.chosen_runs, model: run_id}
    _update_link()


def use_shipped(*models: str) -> None:
    """Use the shipped weights of these networks again."""
    state.chosen_runs = {model: run_id for model, run_id in state.chosen_runs.items() if model not in models}
    _update_link()


def back_to_shipped() -> None:
    """A button that is there while the visitor uses any run."""
    if state.chosen_runs:
        st.button(
            f"Use the ready-made network{'s' * (len(state.chosen_runs) > 1)} again",
            icon=":material/restart_alt:",
            key="back_to_shipped",
            on_click=use_shipped,
            args=tuple(MODELS),
        )


def follow_link() -> None:
    """Keep session and link together before a page runs.

    A new session uses the runs in its link (`?cnn=<run id>`). Later the session writes the link again, because
    Streamlit empties it when the page changes.
    """
    if not state.link_read:
        _read_link()
    elif state.previous_page != state.page:
        state.link_error = ""
    _update_link()
    if state.link_error:
        st.warning(state.link_error)


def _read_link() -> None:
    state.link_read, errors = True, []
    for name in MODELS:
        if run_id := st.query_params.get(name):
            try:
                run_checkpoint(name, run_id)
                state.chosen_runs[name] = run_id
            except RunError as error:
                errors.append(str(error))
    state.link_error = " ".join([*errors, "You see the ready-made network instead."] if errors else [])


def _update_link() -> None:
    for name in MODELS:
        if name in st.query_params and chosen(name) is None:
            del st.query_params[name]
    if any(st.query_params.get(name) != run_id for name, run_id in state.chosen_runs.items()):
        st.query_params.update(state.chosen_runs)  # together: each change is a step for the browser's back button


# Loaded networks ------------------------------------------------------------------------------------------------------


def load(name: str) -> Future["Classifier"]:
    """The network that this visitor uses; see `Pool.request`."""
    return POOL.request(name, chosen(name))


def load_in_background() -> None:
    """Start to load all networks: the visitor's, and the shipped ones, which are one click away."""
    for name in MODELS:
        load(name)
    POOL.load_shipped()


def network(name: str) -> "Classifier | None":
    """The network that this visitor uses; None if it is loading or cannot be loaded, which the page then shows."""
    future, title = load(name), MODELS[name].title
    if not future.done():
        st.info(f"{title} is loading …", icon=":material/hourglass_empty:")
    elif error := future.exception():
        st.warning(f"{title}: {error_message(error)}")
    else:
        return future.result()
    return None


def loaded() -> dict[str, "Classifier"]:
    """The networks that are ready, by name."""
    futures = {name: load(name) for name in MODELS}
    return {name: future.result() for name, future in futures.items() if future.done() and not future.exception()}


def error_message(error: BaseException) -> str:
    """Why a network could not be loaded."""
    if isinstance(error, (CheckpointError, RunError)):
        return str(error)
    return f"This network could not be loaded: {error}"


def choose_network(label: str, key: str, names: Iterable[str] = MODELS) -> str:
    """Show a choice of networks; returns the name of the chosen one, at first the first."""
    names = list(names)
    return st.segmented_control(
        label,
        names,
        default=names[0],
        required=True,
        key=key,
        format_func=lambda name: MODELS[name].title,
        persist_state="session",
    )


def identity(name: str) -> str:
    """An id of a network's loaded weights, under which caches keep what they compute from them.

    Call it only after `network` has returned the network.
    """
    return _identities.setdefault(load(name).result(), uuid4().hex)


def differences(name: str) -> str:
    """A sentence that lists the sizes in which a visitor's run differs from the usual network; empty if none does.

    Call it only after `network` has returned the network.
    """
    config = load(name).result().network.config
    # By way of JSON, where tuples become lists, as in the checkpoint's card.
    own, usual = (json.loads(json.dumps(asdict(sizes))) for sizes in (config, type(config)()))
    changed = [
        f"{size} {value} (usually {usual[size]})"
        for size, value in own.items()
        if size not in INVISIBLE and value != usual[size]
    ]
    return f"This {MODELS[name].title} has other sizes: {', '.join(changed)}." if changed else ""


# Answers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One network's answer to one digit, or the reason why there is none."""

    spec: ModelSpec
    probabilities: np.ndarray | None = None  # float32[10]; None for a blank canvas
    milliseconds: float = 0.0
    error: str = ""
    loading: bool = False

    @property
    def digit(self) -> int | None:
        """The class with the highest probability."""
        return None if self.probabilities is None else int(self.probabilities.argmax())


def answer(spec: ModelSpec, digit: np.ndarray | None) -> Answer:
    """One loaded network's answer to a digit `uint8[28, 28]`; a blank canvas (None) has no answer."""
    future = load(spec.name)
    if not future.done():
        return Answer(spec, loading=True)
    if error := future.exception():
        return Answer(spec, error=error_message(error))
    if digit is None:
        return Answer(spec)
    started = time.perf_counter()
    probabilities = future.result().predict_proba(digit[None])[0]
    return Answer(spec, probabilities, 1000 * (time.perf_counter() - started))


def cached_answer(spec: ModelSpec, digit: np.ndarray) -> Answer:
    """As `answer`, but computed once for each digit."""
    future = load(spec.name)
    if future.done() and not future.exception():
        return _cached_answer(spec.name, identity(spec.name), digit)
    return answer(spec, digit)


@st.cache_data(max_entries=500, show_spinner=False)
def _cached_answer(name: str, identity: str, digit: np.ndarray) -> Answer:
    return answer(MODELS[name], digit)


def agreement(answers: list[Answer]) -> str:
    """How many networks agree, in a sentence; empty until two have answered."""
    digits = [answer.digit for answer in answers if answer.digit is not None]
    if len(digits) < 2:
        return ""
    top = mode(digits)
    if digits.count(top) == len(digits):
        return f"All {len(digits)} networks answer {top}."
    if len(multimode(digits)) > 1:
        return f"The networks disagree: {' or '.join(map(str, sorted(set(digits))))}."
    return f"{digits.count(top)} of {len(digits)} networks answer {top}."


def any_loading(answers: list[Answer]) -> bool:
    """Whether the page has to run again when a network is ready."""
    return any(answer.loading for answer in answers)


def rerun_when_loaded(answers: list[Answer]) -> None:
    """Run the page again as soon as another of its networks is ready.

    The page itself does not wait: whatever the visitor does meanwhile gets its response at once, also in a fragment.
    """
    missing = [answer.spec.name for answer in answers if answer.loading]

    def ready() -> bool:
        return any(load(name).done() for name in missing)

    def check() -> None:
        if ready():
            st.rerun()

    while st.context.url is None and not ready():  # AppTest runs no fragment by itself
        time.sleep(POLL)
    st.fragment(check, run_every=POLL)()
