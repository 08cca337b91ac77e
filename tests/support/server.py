"""Run a Streamlit script on a server of its own."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent  # scripts for tests of single components


@dataclass(frozen=True)
class Server:
    address: str
    process: int

    def peak_memory(self) -> int:
        """The highest memory use until now in bytes; 0 where the system does not report it."""
        status = Path(f"/proc/{self.process}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@contextmanager
def serve(script: Path, folder: Path, **environment: str) -> Iterator[Server]:
    """Run a script on a free port, with its log in `folder`; in the end the log must hold no traceback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"http://localhost:{port}", folder / "server.log"
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true", f"--server.port={port}"]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        ) as process,
    ):
        try:
            _wait_for(address)
            yield Server(address, process.pid)
        finally:
            process.terminate()
    # A browser that leaves while it connects is not an error of the app.
    text = re.sub("Exception in ASGI application.*?once a close message has been sent", "", log.read_text(), flags=re.S)
    assert "Traceback" not in text, text


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health").close()
            return
        except OSError:
            time.sleep(0.1)
