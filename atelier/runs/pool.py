"""Networks that answer, loaded once for all visitors of a server.

Loading takes place in background threads: a page asks for a network, shows what it can, and asks again.
"""

import gc
import importlib
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import atelier
from atelier import paths
from atelier.checkpoint import CheckpointError
from atelier.data.mnist import SIDE
from atelier.runs.folder import Run, RunError
from atelier.zoo import MODELS

if TYPE_CHECKING:
    from atelier.classifier import Classifier

DELAY = 1.0  # seconds: the first screen comes before PyTorch is imported
MEMORY = 200 << 20  # bytes for the weights of people's own runs: three of VGG16, or the CNNs of a whole class


class _Source(NamedTuple):
    """The files of a network, as they were when it was requested."""

    checkpoint: Path
    own: bool  # a person's run
    written: tuple[float, float]  # when: the checkpoint, and its backbone
    size: int  # bytes, of both


_pool: dict[_Source, Future["Classifier"]] = {}  # the most recently used is the last
_starting = threading.Lock()
_importing = threading.Lock()


def request(model: str, run_id: str | None = None) -> Future["Classifier"]:
    """A network, loading in a thread of its own: once for all visitors, and again if its files have changed.

    While a changed checkpoint loads, the network loaded before answers, so that a network can be used while it trains.

    Args:
        model: a name in MODELS.
        run_id: the run whose weights it has; None for the shipped ones.
    """
    if run_id is None:
        return _request(model, MODELS[model].checkpoint)
    try:
        return _request(model, run_checkpoint(model, run_id), own=True)
    except RunError as error:
        failed: Future[Classifier] = Future()
        failed.set_exception(error)
        return failed


def run_checkpoint(model: str, run_id: str) -> Path:
    """The best checkpoint of a run. The id may come from a stranger's link.

    Raises:
        RunError: if there is no such run, or it trained another network, or has no weights.
    """
    title = MODELS[model].title
    try:
        run = Run.open(paths.RUNS, run_id)
        trained = run.read("config.json").get("model")
    except (RunError, OSError):  # OSError: an id that is longer than a file name may be
        raise RunError(f"The run chosen as {title} is not on this computer, or it is damaged.") from None
    if trained != model:
        raise RunError(f"The run chosen as {title} trained another network.")
    if not run.path("best.safetensors").is_file():
        raise RunError(f"The run chosen as {title} has no weights yet: they come with its first validation.")
    return run.path("best.safetensors")


def _request(model: str, checkpoint: Path, own: bool = False) -> Future["Classifier"]:
    (written, size), (backbone_written, backbone_size) = _stat(checkpoint), _stat(MODELS[model].backbone)
    source = _Source(checkpoint, own, (written, backbone_written), size + backbone_size)
    with _starting:
        future = _pool.pop(source, None)
        if future is None:
            future = Future()
            start = threading.Timer(DELAY, _load, (model, source, future))
            start.daemon = True
            start.start()
        _pool[source] = future
        _make_room()
        for other in [other for other in _pool if other.checkpoint == checkpoint and other != source]:
            if future.done():
                del _pool[other]
            elif _pool[other].done() and not _pool[other].exception():
                return _pool[other]
        return future


def _stat(file: Path) -> tuple[float, int]:
    """When a file was written, and its size in bytes; zeros if there is none."""
    try:
        stat = file.stat()
    except OSError:
        return 0.0, 0
    return stat.st_mtime, stat.st_size


def _make_room() -> None:
    """Forget the least recently used runs. Weights lie on disk in half precision: loaded, they are twice as large."""
    own = [source for source in _pool if source.own]
    while len(own) > 1 and 2 * sum(source.size for source in own) > MEMORY:
        del _pool[own.pop(0)]


def _load(model: str, source: _Source, future: Future["Classifier"]) -> None:
    try:
        with _importing:  # threads that import parts of one package at the same time may get an incomplete module
            importlib.import_module(MODELS[model].network.split(":")[0])
        classifier = atelier.load(str(source.checkpoint) if source.own else model)
        if classifier.spec.name != model:
            raise CheckpointError(f"The run chosen as {MODELS[model].title} holds weights of another network.")
        classifier.predict_proba(np.zeros((1, SIDE, SIDE), np.uint8))  # the first call is slow
        future.set_result(classifier)
    except Exception as error:  # shown on the page, in place of the network's answer
        future.set_exception(error)
    with _starting:
        complete = all(other.done() for shipped, other in _pool.items() if not shipped.own)
    if complete and not source.own:
        # Streamlit collects garbage after each run of a page. Walking through PyTorch's objects would cost 130 ms each
        # time; they stay in memory anyway. A person's run adds few objects, and is forgotten again.
        gc.collect()
        gc.freeze()


def load_shipped(models: list[str]) -> None:
    """Start to load the shipped weights of these networks, so that they are there when the first digit is drawn."""
    for model in models:
        request(model)
