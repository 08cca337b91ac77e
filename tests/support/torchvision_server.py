"""A server on 127.0.0.1 instead of torchvision's: it serves one file, named by its hash, with or without a fault."""

import contextlib
import hashlib
import http.server
import threading

from atelier.models import backbones

FAULTS = ("cut", "altered", "missing", "silent", "gibberish")


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; `fault` is one of FAULTS, or empty."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.fault, self.requests = b"", "", 0
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def offer(self, content: bytes, monkeypatch) -> None:
        """Serve this file under the name that its hash gives it, and direct the project's downloads here."""
        self.content = content
        address = f"http://127.0.0.1:{self.server_port}/{name_of(content)}"
        monkeypatch.setattr(backbones, "_url", lambda architecture: address)

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        fault, content = self.server.fault, self.server.content
        self.server.requests += 1
        if fault == "gibberish":
            self.wfile.write(b"hello, this is no HTTP\r\n")
            return
        self.send_response(404 if fault == "missing" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault in ("cut", "silent"):
            content = content[: len(content) // 2]
        elif fault == "altered":
            content = content[:-1] + bytes([content[-1] ^ 1])
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)
        if fault == "silent":
            self.server.released.wait(10)

    def log_message(self, *arguments):
        pass


def name_of(content: bytes) -> str:
    return f"network-{hashlib.sha256(content).hexdigest()[:8]}.pth"
