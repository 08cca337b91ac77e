"""How much memory this process needs to load a checkpoint and read digits: `python -m atelier.bench.memory FILE
DEVICE` prints bytes. See `speed.peak_memory`."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

from atelier.bench.speed import read_many
from atelier.classifier import Classifier
from atelier.data import mnist

DIGITS = 1_000


def peak_of_process() -> float:
    """Bytes of main memory that this process has held at most; NaN on Windows."""
    # On Linux, what `resource` says also counts what the process that started this one held then.
    with suppress(OSError, TypeError):
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    classifier = Classifier.load(*sys.argv[1:])
    for _ in read_many(classifier, mnist.load("test")[0][:DIGITS]):
        pass
    print(torch.cuda.max_memory_allocated() if classifier.device.type == "cuda" else peak_of_process())
