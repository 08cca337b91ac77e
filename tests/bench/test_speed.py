import inspect
import subprocess
import sys

import numpy as np

import atelier
from atelier.bench.memory import peak_of_process
from atelier.bench.speed import REPEATS, answer_times, latency, peak_memory, predict_in_batches
from atelier.data import mnist


def test_batches_have_the_same_predictions():
    cnn, images = atelier.load("cnn", "cpu"), mnist.load("test")[0][:450]
    batches = list(predict_in_batches(cnn, images))
    assert len(batches) > 1
    together = np.concatenate([probabilities for probabilities, _ in batches])
    np.testing.assert_allclose(together, cnn.predict_proba(images), atol=1e-5)
    assert all(seconds > 0 for _, seconds in batches)


def test_warm_up_is_not_timed():
    cnn = atelier.load("cnn", "cpu")
    assert len(answer_times(cnn, 20)) == 20
    times = answer_times(cnn)
    assert len(times) == REPEATS
    assert min(times) / 5 < latency(cnn) < 5 * max(times)


def test_peak_of_memory_is_measured():
    before = peak_of_process()
    held = np.ones(100_000_000, np.uint8)
    assert peak_of_process() >= before
    assert peak_of_process() > len(held)


def test_memory_of_the_parent_process_does_not_count():
    held = np.ones(200_000_000, np.uint8)
    code = "import re, sys; from contextlib import suppress; from pathlib import Path\n"
    code += inspect.getsource(peak_of_process) + "print(peak_of_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < len(held)


def test_memory_is_measured_in_another_process():
    assert 100 < peak_memory(atelier.MODELS["cnn"].checkpoint, "cpu") < 10_000
