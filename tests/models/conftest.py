"""A server instead of torchvision's, and a cache folder of its own."""

from pathlib import Path

import pytest
import torch

from tests.support.torchvision_server import Server, random_features, write


@pytest.fixture(scope="session")
def convolutions() -> dict[str, torch.Tensor]:
    return random_features("alexnet")


@pytest.fixture(scope="session")
def original(convolutions, tmp_path_factory) -> bytes:
    """A file like torchvision's: convolutions as parameters, and a classifier that is not kept."""
    content = {f"features.{name}": torch.nn.Parameter(tensor) for name, tensor in convolutions.items()}
    return write(tmp_path_factory.mktemp("made") / "file.pth", content | {"classifier.6.bias": torch.zeros(1000)})


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of PyTorch's hub; it does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(cache, original, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.offer(original, monkeypatch)
    yield server
    server.stop()
