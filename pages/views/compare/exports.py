"""Compare, export: a network as a file for other programs."""

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
from atelier.runs.folder import RunError
from atelier.studies import results
from pages.ui import parts

TITLE = "Use a network in your own programs"
EXPLANATION = "Download the network. We check that the file gives the same answers."
NETWORK, FORMAT, EXPORT = "Network", "Format", "Export"
FORMATS = {
    "onnx": "For ONNX Runtime: most languages, and browsers",
    "pt2": "For PyTorch alone, without this project",
    "safetensors": "All weights in one file, no backbone needed",
}
BUSY = "{}: writing and checking the file. This takes about half a minute."
DONE = "{}: the file is ready and checked"
TIMEOUT = "The export took more than {} minutes and was stopped. Try again when this computer is less busy."
KILLED = "The process was killed, perhaps because the memory is full. Try again later."
SILENT = "The process failed without a message (exit status {}). Try again later."

COMMAND = (sys.executable, "-m", "atelier", "export")  # in its own process: no page imports PyTorch
LONGEST = 900  # seconds
KEPT = 8  # exports, for all visitors; the largest have 60 MB
POLL = 0.5  # seconds between two checks of a running export

state = st.session_state
_turn = threading.Lock()  # one export at a time: each takes a core and a gigabyte


@dataclass(frozen=True)
class Exported:
    """The files and the output of the command."""

    folder: TemporaryDirectory  # deleted with the last reference to it
    output: str

    @property
    def files(self) -> list[Path]:
        return sorted(Path(self.folder.name).iterdir(), key=lambda file: len(file.name))  # `…-scenes` comes second

    def read(self, number: int) -> bytes:
        return self.files[number].read_bytes()


@st.fragment
def show(names: dict[str, str]) -> None:
    """The view's part: a choice, and the exported files.

    Args:
        names: titles of all networks that can be exported, by name in MODELS or id of a run.
    """
    parts.heading(TITLE, EXPLANATION)
    network = st.selectbox(NETWORK, names, key="compare_export", format_func=names.get, width=260)
    format = st.radio(FORMAT, FORMATS, captions=list(FORMATS.values()), key="compare_format", horizontal=True)
    st.button(EXPORT, icon=":material/ios_share:", key="compare_start", on_click=start, args=(network, names, format))
    if "compare_exported" not in state:
        return
    title, promise = state.compare_exported
    if not promise.done():
        st.fragment(show_progress, run_every=POLL)(title, promise)
    elif error := promise.exception():
        st.error(f"{title}: {error.strerror or error}" if isinstance(error, OSError) else f"{title}: {error}")
    else:
        show_files(title, promise.result())


def show_progress(title: str, promise: Future[Exported]) -> None:
    """A fragment: the page reruns when the export has ended."""
    if promise.done():
        st.rerun()
    st.status(BUSY.format(title), state="running")


def show_files(title: str, exported: Exported) -> None:
    place = st.container(key="compare_exported_files")
    with place.status(DONE.format(title), state="complete", expanded=True):
        st.code(exported.output, language=None, wrap_lines=True)
        for number, file in enumerate(exported.files):
            parts.download(file.name, partial(exported.read, number), file.name)


def start(network: str, names: dict[str, str], format: str) -> None:
    weights = results.fingerprints("leaderboard", [network]).get(network, "")
    promise = in_background(network, format, weights)
    if promise.done() and promise.exception():  # a second attempt may succeed
        in_background.clear(network, format, weights)
        promise = in_background(network, format, weights)
    state.compare_exported = f"{names[network]} as {format}", promise


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def in_background(network: str, format: str, weights: str) -> Future[Exported]:
    """An export in a thread, one for all visitors who want the same weights in the same format."""
    promise: Future[Exported] = Future()
    threading.Thread(target=_fulfil, args=(promise, network, format), daemon=True).start()
    return promise


def _fulfil(promise: Future[Exported], network: str, format: str) -> None:
    try:
        with _turn:
            promise.set_result(export(network, format))
    except Exception as error:  # the page shows it
        promise.set_exception(error)


def export(network: str, format: str) -> Exported:
    """Export a network with `python -m atelier export`.

    Args:
        network: a name in MODELS, or a run's id.
        format: one of FORMATS.

    Raises:
        RunError: if it cannot be exported; the message gives the reason in one sentence.
        OSError: if the process cannot be started or the disk is full.
    """
    folder = TemporaryDirectory(prefix="atelier-", ignore_cleanup_errors=True)
    file = Path(folder.name, f"{network}.{format}")
    source = MODELS[network].checkpoint if network in MODELS else paths.RUNS / network / "best.safetensors"
    try:
        process = subprocess.run(
            [*COMMAND, source.resolve(), "--format", format, "--out", file],
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise RunError(TIMEOUT.format(LONGEST // 60)) from None
    if process.returncode < 0:
        raise RunError(KILLED)
    output = process.stderr if process.returncode else process.stdout
    lines = output.replace(f"{folder.name}{os.sep}", "").splitlines()
    if process.returncode:
        raise RunError(lines[-1] if lines else SILENT.format(process.returncode))
    return Exported(folder, "\n".join(lines))
