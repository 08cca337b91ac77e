"""What the pages share: the digit, the loaded networks and their answers."""

import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from statistics import mode, multimode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

import atelier
from atelier import paths
from atelier.checkpoint import CheckpointError
from atelier.runs import jobs
from atelier.runs.folder import Run, RunError
from atelier.zoo import MODELS, ModelSpec

if TYPE_CHECKING:
    from atelier.classifier import Classifier

THUMBNAILS = Path(__file__).parent / "thumbnails"

# A single digit keeps one core busy for milliseconds; more threads only get in each other's way when a class draws at
# once or a network trains beside. PyTorch reads this when it is imported, later.
if "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs.not_for_workers.add("OMP_NUM_THREADS")  # training takes all cores

BLANK = "–"  # the answer to a blank canvas
POLL = 0.3  # seconds between looks at what is still loading
HEAD_START = 1.0  # seconds: the first screen comes first
ROOM = 200 << 20  # bytes for the weights of people's own runs: three of VGG16, or the CNNs of a whole class

state = st.session_state


# The digit, the same on every page ------------------------------------------------------------------------------------


def show_digit(digit: np.ndarray | None, message: str = "", truth: int | None = None) -> None:
    """From now on this is the digit, on every page."""
    state.update(digit=digit, message=message, truth=truth, revision=state.get("revision", 0) + 1)


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
                _weights(name, run_id)
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


def _weights(name: str, run_id: str) -> Path:
    """The weights of a run, to be used as a network. The id may come from a stranger's link.

    Raises:
        RunError: if there is no such run, or it is of another network, or has no weights.
    """
    title = MODELS[name].title
    try:
        run = Run.open(paths.RUNS, run_id)
        model = run.read("config.json").get("model")
    except (RunError, OSError):  # OSError: an id that is longer than a file's name may be
        raise RunError(f"The run that was chosen as {title} is not on this computer, or it is damaged.") from None
    if model != name:
        raise RunError(f"The run that was chosen as {title} trained another network.")
    if not run.path("best.safetensors").is_file():
        raise RunError(f"The run that was chosen as {title} has no weights yet: they come with its first validation.")
    return run.path("best.safetensors")


# Loaded networks, for all visitors ------------------------------------------------------------------------------------


class _Files(NamedTuple):
    """What a network is made from, as it was when somebody asked for it."""

    checkpoint: Path
    own: bool  # a person's run
    written: tuple[float, float]  # when: the checkpoint, and the backbone below it
    size: int  # bytes, of both


_loading: dict[_Files, Future["Classifier"]] = {}  # the last used is the last
_starting = threading.Lock()


def load(name: str) -> Future["Classifier"]:
    """The network that this session uses, loading in a thread of its own: once for all visitors, and again if its files
    have changed. Meanwhile what they held before answers, so that a network can be used while it is still trained."""
    run_id = chosen(name)
    if run_id is None:
        return _promise(name, MODELS[name].checkpoint)
    try:
        return _promise(name, _weights(name, run_id), own=True)
    except RunError as error:
        failed: Future[Classifier] = Future()
        failed.set_exception(error)
        return failed


def _promise(name: str, checkpoint: Path, own: bool = False) -> Future["Classifier"]:
    (written, size), (before, more) = _looked_up(checkpoint), _looked_up(MODELS[name].backbone)
    files = _Files(checkpoint, own, (written, before), size + more)
    with _starting:
        promise = _loading.pop(files, None)
        if promise is None:
            promise = Future()
            start = threading.Timer(HEAD_START, _load, (name, files, promise))
            start.daemon = True
            start.start()
        _loading[files] = promise
        _make_room()
        for other in [other for other in _loading if other.checkpoint == checkpoint and other != files]:
            if promise.done():
                del _loading[other]
            elif _loading[other].done() and not _loading[other].exception():
                return _loading[other]
        return promise


def _looked_up(file: Path) -> tuple[float, int]:
    """When a file was written, and its size in bytes; zeros if there is none."""
    try:
        found = file.stat()
    except OSError:
        return 0.0, 0
    return found.st_mtime, found.st_size


def _make_room() -> None:
    """Forget the runs that nobody has used for longest. Weights lie on disk in half precision: loaded, they are twice
    as large."""
    own = [files for files in _loading if files.own]
    while len(own) > 1 and 2 * sum(files.size for files in own) > ROOM:
        del _loading[own.pop(0)]


def _load(name: str, files: _Files, promise: Future["Classifier"]) -> None:
    try:
        classifier = atelier.load(str(files.checkpoint) if files.own else name)
        if classifier.spec.name != name:
            raise CheckpointError(f"The run that was chosen as {MODELS[name].title} holds weights of another network.")
        classifier.predict_proba(np.zeros((1, 28, 28), dtype=np.uint8))  # the first call is slow: not before a class
        promise.set_result(classifier)
    except Exception as error:  # said on the page, in place of the network's answer
        promise.set_exception(error)
    with _starting:
        ready = all(other.done() for shipped, other in _loading.items() if not shipped.own)
    if ready and not files.own:
        # Streamlit collects garbage after every run of a page. Looking through PyTorch's objects each time would cost
        # 130 ms a stroke; they stay anyway. A person's run brings few, and goes again.
        gc.collect()
        gc.freeze()


def load_networks_in_background() -> None:
    """Start loading, so that the networks are there when the first digit is drawn; the shipped ones also when they are
    not in use, for they are one click away."""
    for name, spec in MODELS.items():
        load(name)
        _promise(name, spec.checkpoint)


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


def through_app() -> None:
    """Have this page run through app.py, also when its link is the first thing that a fresh server is asked for.

    Until app.py has called `st.navigation` once, Streamlit takes every file under `pages/` for a page of its own.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def camera_allowed(url: str | None) -> bool:
    """Whether browsers lend the camera to a page of this address: only on this computer or over HTTPS."""
    address = urlsplit(url or "")
    return address.scheme == "https" or address.hostname in ("localhost", "127.0.0.1", "::1")


def camera(label: str, key: str, on_change: Callable[[str], None]) -> None:
    """A photo on request, or why there can be none; `on_change` is called with the photo's key."""
    if not camera_allowed(st.context.url):
        st.info(
            "Browsers lend the camera only to pages on this computer or over HTTPS. Take the photo with the camera's "
            "own app and choose the file above."
        )
    elif st.toggle("Use the camera", key=f"{key}_wanted"):
        st.camera_input(label, key=key, on_change=on_change, args=(key,))
