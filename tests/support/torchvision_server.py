"""A server on 127.0.0.1 instead of torchvision's: it serves one file, named by its hash, with or without faults."""

import contextlib
import hashlib
import http.server
import threading
from pathlib import Path

import torch
from torchvision import models

from atelier.models import backbones

# Ways to answer ------------------------------------------------------------------------------------------------------


def whole(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def cut(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def altered(handler, content):
    whole(handler, content[:-1] + bytes([content[-1] ^ 1]))


def gibberish(handler, content):
    handler.wfile.write(b"hello, this is no HTTP\r\n")


def silent(handler, content):
    cut(handler, content)
    handler.server.released.wait(10)


def missing(handler, content):
    handler.send_error(404)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file by one of the functions above, `answer`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.content, self.requests = whole, b"", 0
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

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
        self.server.requests += 1
        with contextlib.suppress(ConnectionError):
            self.server.answer(self, self.server.content)

    def log_message(self, *arguments):
        pass


# Files ---------------------------------------------------------------------------------------------------------------


def name_of(content: bytes) -> str:
    return f"network-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def write(file: Path, content, old: bool = False) -> bytes:
    """A .pth; `old` is PyTorch's format of before 2020, in which torchvision's VGG16 was uploaded."""
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.read_bytes()


def random_features(architecture: str) -> dict[str, torch.Tensor]:
    """Random convolutions by torchvision's names."""
    with torch.device("meta"):
        empty = getattr(models, architecture)(weights=None).features.state_dict()
    return {name: 0.02 * torch.randn(tensor.shape) for name, tensor in empty.items()}
