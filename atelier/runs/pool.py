"""Networks that answer, loaded once for all visitors of a server.

Loading takes place in background threads: a page requests a network, shows what it can, and requests it again.
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

_importing = threading.Lock()  # threads that import parts of one package at the same time may get an incomplete module


class _Source(NamedTuple):
    """The files of a network at the time of a request."""

    checkpoint: Path
    own: bool  # a person's run
    written: tuple[float, float]  # modification times of the checkpoint and its backbone
    size: int  # bytes, of both


class Pool:
    """Networks that are loaded or loading, each once; the least recently used runs make room for others.

    Args:
        delay: seconds before a network begins to load.
        memory: bytes for the weights of people's own runs; one run is kept even if it needs more.
    """

    def __init__(self, delay: float = DELAY, memory: int = MEMORY):
        self.delay, self.memory = delay, memory
        self._futures: dict[_Source, Future[Classifier]] = {}  # the most recently used is the last
        self._lock = threading.Lock()

    def request(self, model: str, run_id: str | None = None) -> Future["Classifier"]:
        """A network that loads in a thread of its own; it loads again if its files have changed.

        While a changed checkpoint loads, the previous weights answer: a network can be used while it trains.

        Args:
            model: a name in MODELS.
            run_id: the run whose weights it has; None for the shipped ones.
        """
        try:
            checkpoint = MODELS[model].checkpoint if run_id is None else run_checkpoint(model, run_id)
        except RunError as error:
            failed: Future[Classifier] = Future()
            failed.set_exception(error)
            return failed
        source = _source(model, checkpoint, own=run_id is not None)
        with self._lock:
            future = self._futures.pop(source, None) or self._start(model, source)
            self._futures[source] = future
            self._make_room()
            for other in [other for other in self._futures if other.checkpoint == checkpoint and other != source]:
                if future.done():
                    del self._futures[other]
                elif self._futures[other].done() and not self._futures[other].exception():
                    return self._futures[other]
            return future

    def load_shipped(self) -> None:
        """Start to load the shipped weights of all networks, before somebody draws the first digit."""
        for model in MODELS:
            self.request(model)

    def _start(self, model: str, source: _Source) -> Future["Classifier"]:
        future: Future[Classifier] = Future()
        timer = threading.Timer(self.delay, self._load, (model, source, future))
        timer.daemon = True
        timer.start()
        return future

    def _make_room(self) -> None:
        own = [source for source in self._futures if source.own]
        # Weights lie on disk in half precision. In memory they are twice as large.
        while len(own) > 1 and 2 * sum(source.size for source in own) > self.memory:
            del self._futures[own.pop(0)]

    def _load(self, model: str, source: _Source, future: Future["Classifier"]) -> None:
        try:
            with _importing:
                importlib.import_module(MODELS[model].network.split(":")[0])
            classifier = atelier.load(str(source.checkpoint) if source.own else model)
            if classifier.spec.name != model:
                raise CheckpointError(f"The run chosen as {MODELS[model].title} holds weights of another network.")
            classifier.predict_proba(np.zeros((1, SIDE, SIDE), np.uint8))  # the first call is slow
            future.set_result(classifier)
        except Exception as error:  # the page shows it in place of the network's answer
            future.set_exception(error)
        with self._lock:
            complete = all(other.done() for shipped, other in self._futures.items() if not shipped.own)
        if complete and not source.own:
            # Streamlit collects garbage after each run of a page. To walk through PyTorch's objects costs 130 ms each
            # time, and the shipped networks stay in memory anyway. A person's run adds few objects.
            gc.collect()
            gc.freeze()


def run_checkpoint(model: str, run_id: str) -> Path:
    """The best checkpoint of a run; the id may come from a link.

    Raises:
        RunError: if there is no such run, if it trained another network, or if it has no weights.
    """
    title = MODELS[model].title
    try:
        run = Run.open(paths.RUNS, run_id)
        trained = run.read("config.json").get("model")
    except RunError:
        raise RunError(f"The run chosen as {title} is not on this computer, or it is damaged.") from None
    if trained != model:
        raise RunError(f"The run chosen as {title} trained another network.")
    if not run.path("best.safetensors").is_file():
        raise RunError(f"The run chosen as {title} has no weights before its first validation.")
    return run.path("best.safetensors")


def _source(model: str, checkpoint: Path, own: bool) -> _Source:
    (written, size), (backbone_written, backbone_size) = _stat(checkpoint), _stat(MODELS[model].backbone)
    return _Source(checkpoint, own, (written, backbone_written), size + backbone_size)


def _stat(file: Path) -> tuple[float, int]:
    """Modification time, and size in bytes; zeros if there is no file."""
    try:
        stat = file.stat()
    except OSError:
        return 0.0, 0
    return stat.st_mtime, stat.st_size
