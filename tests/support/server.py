"""Run a Streamlit script as a person would."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Server:
    address: str
    process: int

    def peak_memory(self) -> int:
        """The most that it has used so far, in bytes; 0 where the system does not tell."""
        status = Path(f"/proc/{self.process}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def serve(script: Path, folder: Path, **environment: str) -> Iterator[Server]:
    """Run a Streamlit script on a free port, its log in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = open(folder / "server.log", "w+")  # noqa: SIM115
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true", f"--server.port={port}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    ) as server:
        address = f"http://localhost:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health").close()
                break
            except OSError:
                time.sleep(0.1)
        try:
            yield Server(address, server.pid)
        finally:  # else a test that fails would wait for it for ever
            server.terminate()
    log.seek(0)
    # A browser that leaves while it connects is none of the app's errors.
    content = re.sub("Exception in ASGI application.*?once a close message has been sent", "", log.read(), flags=re.S)
    log.close()
    assert "Traceback" not in content, content
