"""Print the bytes that it takes to load a checkpoint and classify digits: `python -m atelier.bench.memory FILE DEVICE`.

`speed.peak_memory` calls it.
"""

import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

from atelier.bench.speed import predict_in_batches
from atelier.classifier import Classifier
from atelier.data import mnist

DIGITS = 1_000


def peak_of_process() -> float:
    """The peak of this process's main memory, in bytes; NaN on Windows."""
    # On Linux, `resource` also counts the memory of the process that started this one.
    with suppress(OSError):
        if peak_kib := re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()):
            return 1024 * int(peak_kib[1])
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    classifier = Classifier.load(*sys.argv[1:])
    for _ in predict_in_batches(classifier, mnist.load("test")[0][:DIGITS]):
        pass
    print(torch.cuda.max_memory_allocated() if classifier.device.type == "cuda" else peak_of_process())
