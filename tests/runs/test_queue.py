"""One run at a time on a device, first come first served, also among processes and after crashes."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from atelier.runs import queue
from atelier.runs.queue import acquire_device

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys, time
from atelier.runs.queue import acquire_device
with acquire_device("cpu"):
    print("acquired", time.monotonic(), flush=True)
    time.sleep(float(sys.argv[1]))
    print("released", time.monotonic(), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def hold(seconds):
    command = [sys.executable, "-c", HOLD, str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_processes_take_turns():
    processes = [hold(0.3) for _ in range(4)]
    lines = [line.split() for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    order = [word for word, _ in sorted(lines, key=lambda line: float(line[1]))]
    assert order == ["acquired", "released"] * 4


def test_device_is_given_in_the_order_of_requests(monkeypatch):
    monkeypatch.setattr(queue, "POLL", 0.02)
    served, threads = [], []

    def wait(number):
        with acquire_device("cpu"):
            served.append(number)

    with acquire_device("cpu"):
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            time.sleep(0.1)
        assert served == []
    for thread in threads:
        thread.join(timeout=10)
    assert served == [0, 1, 2, 3, 4]


def test_waiting_process_knows_how_many_are_ahead_and_may_leave():
    class LeaveError(Exception):
        pass

    def leave(ahead):
        assert ahead == 1
        raise LeaveError

    with acquire_device("cpu"):
        with pytest.raises(LeaveError), acquire_device("cpu", leave):
            pass
        with acquire_device("cuda"):  # another device is free
            pass


def test_ticket_of_a_starting_process_keeps_its_place(monkeypatch):
    ticket = queue.draw_ticket("cpu")
    monkeypatch.setattr(queue, "POLL", 0.02)
    order = []

    def train(name, ticket=None):
        with acquire_device("cpu", ticket=ticket):
            order.append(name)

    later = threading.Thread(target=train, args=("later",))
    later.start()
    time.sleep(0.2)
    train("first", ticket)
    later.join(timeout=10)
    assert order == ["first", "later"]
    queue.draw_ticket("cpu")  # for a process that never comes
    monkeypatch.setattr(queue, "HEAD_START", 0.1)
    time.sleep(0.2)
    with acquire_device("cpu", lambda ahead: pytest.fail("the process never started, but it is ahead")):
        pass


def test_killed_processes_release_the_device_and_the_queue():
    killed = hold(60)
    killed.stdout.readline()
    waiting = hold(60)
    time.sleep(1)
    waiting.kill()  # in the queue
    killed.kill()  # while it holds the device
    killed.wait()
    waiting.wait()
    with acquire_device("cpu", lambda ahead: pytest.fail("nobody is ahead any more")):
        pass
