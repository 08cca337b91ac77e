import pytest
import torch
from torchvision import models


@pytest.fixture(scope="session")
def convolutions() -> dict[str, torch.Tensor]:
    """Random convolutions of AlexNet by torchvision's names."""
    with torch.device("meta"):
        empty = models.alexnet(weights=None).features.state_dict()
    return {name: 0.02 * torch.randn(tensor.shape) for name, tensor in empty.items()}
