"""Two processes share the whole suite (pytest-xdist) and keep out of each other's way; files or tests that the command
line names run in one."""

import os
from pathlib import Path

import pytest

SHARED = "PYTEST_XDIST_WORKER" in os.environ  # this is one of the two
THREADS = os.environ.get("OMP_NUM_THREADS")
if SHARED:  # more threads than cores wait for each other most of the time; PyTorch reads it when it is imported, later
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return 2 if config.args_source is config.ArgsSource.TESTPATHS and os.name == "posix" else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Tests that share fixtures stay in one process: those of a file, and all that drive the browser."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if "/browser/" in nodeid else nodeid.split("::")[0]

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.alone)  # for they measure time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """While a test that is marked `alone` runs, the other process waits."""
    if not SHARED:
        return (yield)
    import fcntl  # not on Windows

    both = Path(item.config.getoption("basetemp")).parent
    with open(both / "door", "w") as door, open(both / "room", "w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)  # who stands here until the room is empty lets nobody else in
        fcntl.flock(room, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory):
    """Processes that tests start keep features and queues apart from those of whoever runs the tests. They take as many
    threads as they do elsewhere, whatever is set for this process above or by pages/shared.py, which some tests import;
    and these sleep while they wait, for the cores may be busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_WAIT_POLICY", "passive")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        if THREADS:
            patch.setenv("OMP_NUM_THREADS", THREADS)
        yield


@pytest.fixture(scope="session")
def pace() -> float:
    """How many times as long as the computer of the leaderboard this one takes to read a digit, and 1 if it is faster:
    limits of time hold for that computer."""
    from atelier import load
    from atelier.bench.speed import latency
    from atelier.studies import results

    there = results.shipped("leaderboard").table.set_index("network").latency_p50_ms["cnn"]
    return max(1.0, latency(load("cnn", "cpu")) / there)
