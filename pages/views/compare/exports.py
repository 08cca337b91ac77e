"""Compare, the way out: a network as a file for other programs."""

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from atelier import MODELS, paths
from atelier.runs import jobs
from atelier.runs.folder import RunError
from atelier.studies import results
from pages.ui import parts

FORMATS = {  # and for whom
    "onnx": "For ONNX Runtime: most languages, and browsers",
    "pt2": "For PyTorch alone, without this project",
    "safetensors": "All weights in one file, no backbone needed",
}
COMMAND = (sys.executable, "-m", "atelier", "export")  # in a process of its own: no page imports PyTorch
LONGEST = 900  # seconds
KEPT = 8  # exports, for all visitors; the largest have 60 MB
POLL = 0.5  # seconds between two looks at one that goes on

state = st.session_state
_turn = threading.Lock()  # one at a time, however many ask: each takes a core and a gigabyte


@dataclass(frozen=True)
class Exported:
    """What the command wrote, and what it said."""

    folder: TemporaryDirectory  # deleted as soon as nobody holds it any more
    told: str

    @property
    def files(self) -> list[Path]:
        return sorted(Path(self.folder.name).iterdir(), key=lambda file: len(file.name))  # `…-scenes` is the second

    def read(self, number: int) -> bytes:
        return self.files[number].read_bytes()


@st.fragment
def show(names: dict[str, str]) -> None:
    """The choice, and what came of it.

    Args:
        names: of all networks that can be exported, by their names in MODELS and ids of runs.
    """
    parts.question(
        "Where else can a network work?",
        "In programs of your own. You get its file once that has been read back and answers as the network itself.",
    )
    network = st.selectbox("Network", names, key="compare_export", format_func=names.get, width=260)
    format = st.radio("Format", FORMATS, captions=list(FORMATS.values()), key="compare_format", horizontal=True)
    st.button("Export", icon=":material/ios_share:", key="compare_ask", on_click=ask, args=(network, names, format))
    if "compare_exported" not in state:
        return
    what, promise = state.compare_exported
    if not promise.done():
        st.fragment(progress, run_every=POLL)(what, promise)
    elif error := promise.exception():
        st.error(f"{what}: {error.strerror or error}" if isinstance(error, OSError) else f"{what}: {error}")
    else:
        hand_over(what, promise.result())


def progress(what: str, promise: Future[Exported]) -> None:
    """A fragment; the page is shown anew when it has ended."""
    if promise.done():
        st.rerun()
    st.status(f"{what}: it is written and checked, which takes half a minute or so …", state="running")


def hand_over(what: str, exported: Exported) -> None:
    place = st.container(key="compare_handed_over")
    with place.status(f"{what}: written and checked", state="complete", expanded=True):
        st.code(exported.told, language=None, wrap_lines=True)
        for number, file in enumerate(exported.files):
            parts.download(file.name, partial(exported.read, number), file.name)


def ask(network: str, names: dict[str, str], format: str) -> None:
    weights = results.fingerprints("leaderboard", [network]).get(network, "")
    promise = begun(network, format, weights)
    if promise.done() and promise.exception():  # perhaps it goes well now
        begun.clear(network, format, weights)
        promise = begun(network, format, weights)
    state.compare_exported = f"{names[network]} as {format}", promise


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def begun(network: str, format: str, weights: str) -> Future[Exported]:
    """The same export for all who ask for the same weights in the same format."""
    promise: Future[Exported] = Future()
    threading.Thread(target=_fulfil, args=(promise, network, format), daemon=True).start()
    return promise


def _fulfil(promise: Future[Exported], network: str, format: str) -> None:
    try:
        with _turn:
            promise.set_result(export(network, format))
    except Exception as error:  # said on the page
        promise.set_exception(error)


def export(network: str, format: str) -> Exported:
    """What `python -m atelier export` makes of a network.

    Args:
        network: a name in MODELS, or a run's id.
        format: one of FORMATS.

    Raises:
        RunError: if it cannot be exported; the message says why, in one sentence.
        OSError: if the process cannot be started, or has no place to write to.
    """
    folder = TemporaryDirectory(prefix="atelier-", ignore_cleanup_errors=True)
    file = Path(folder.name, f"{network}.{format}")
    source = MODELS[network].checkpoint if network in MODELS else paths.RUNS / network / "best.safetensors"
    try:
        ended = subprocess.run(
            [*COMMAND, source.resolve(), "--format", format, "--out", file],
            cwd=jobs.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"It was given up after {LONGEST // 60} minutes. Is this computer very busy?") from None
    if ended.returncode < 0:
        raise RunError("The process was killed, perhaps because the memory is full. Try again later.")
    said = (ended.stderr if ended.returncode else ended.stdout).replace(f"{folder.name}{os.sep}", "").splitlines()
    if ended.returncode:
        raise RunError(said[-1] if said else f"The process failed without a word (exit status {ended.returncode}).")
    return Exported(folder, "\n".join(said))
