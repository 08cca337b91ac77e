"""What all tests share: a cache of their own, and one thread for each of the two processes that share the suite."""

import os

import pytest

THREADS = os.environ.get("OMP_NUM_THREADS")
if "PYTEST_XDIST_WORKER" in os.environ:  # PyTorch reads it when it is imported, later
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory):
    """Processes that tests start use a cache of their own, and the threads that they would use elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_WAIT_POLICY", "passive")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        if THREADS:
            patch.setenv("OMP_NUM_THREADS", THREADS)
        yield


@pytest.fixture(scope="session")
def pace() -> float:
    """How many times slower this machine reads a digit than the one of the shipped leaderboard, at least 1.

    Slow tests scale their time limits by it.
    """
    from atelier import load
    from atelier.bench.speed import latency
    from atelier.studies import results

    reference = results.shipped("leaderboard").table.set_index("network").latency_p50_ms["cnn"]
    return max(1.0, latency(load("cnn", "cpu")) / reference)
