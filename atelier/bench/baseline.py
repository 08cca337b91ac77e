"""The baseline of our training speed: the plain recipe of PyTorch's own MNIST example.

https://github.com/pytorch/examples/tree/main/mnist

Most people train their first network in this way. A `Dataset` prepares one picture at a time, in
Python, again in every epoch; a `DataLoader` stacks 64 of them into a batch. Compare `atelier/training/loop.py`, where
all digits lie on the device as one tensor, and a batch is picked and varied there in a few calls.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

EPOCHS = 14
BATCH_SIZE, VALIDATION_BATCH_SIZE = 64, 1000
LEARNING_RATE, DECAY = 1.0, 0.7  # Adadelta's (Zeiler 2012, arXiv:1212.5701), and what an epoch leaves of it
MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels of MNIST's training digits, in [0, 1]


class DigitDataset(Dataset):
    """Digits one by one, each with its label: `(float[1, 28, 28], int)`, normalised."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        """`uint8[N, 28, 28]`, `int64[N]`."""
        self.images, self.labels = images.copy(), labels.tolist()  # torchvision takes no read-only pictures
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def new_network() -> nn.Sequential:
    """Digits `float[N, 1, 28, 28]`, normalised, to `logits float[N, 10]`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=3),  # (N, 32, 26, 26)
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),  # (N, 64, 24, 24)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 64, 12, 12)
        nn.Dropout(0.25),
        nn.Flatten(),  # (N, 9216)
        nn.Linear(9216, 128),  # (N, 128)
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),  # (N, 10)
    )


def train_baseline(
    training: DigitDataset, validation: DigitDataset, seed: int, device: torch.device, epochs: int = EPOCHS
) -> Iterator[tuple[float, int, float]]:
    """Train a new network and validate after every epoch; the caller may stop at any epoch.

    Yields:
        seconds since the start, validations included; epochs finished; accuracy on the validation digits, 0 to 1.
    """
    clock = time.perf_counter()
    torch.manual_seed(seed)
    # As the example does: a process of its own prepares the pictures where a GPU would otherwise wait for them.
    workers: dict[str, Any] = (
        {} if device.type == "cpu" else {"num_workers": 1, "persistent_workers": True, "pin_memory": True}
    )
    batches = DataLoader(training, BATCH_SIZE, shuffle=True, **workers)
    validation_batches = DataLoader(validation, VALIDATION_BATCH_SIZE, **workers)
    network = new_network().to(device)
    optimizer = torch.optim.Adadelta(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=DECAY)
    for epoch in range(1, epochs + 1):
        network.train()
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(network(images.to(device)), labels.to(device)).backward()
            optimizer.step()
        schedule.step()
        accuracy = measure_accuracy(network, validation_batches, device)
        yield time.perf_counter() - clock, epoch, accuracy


@torch.no_grad()
def measure_accuracy(network: nn.Module, batches: DataLoader, device: torch.device) -> float:
    """Share of correct answers, 0 to 1."""
    network.eval()
    correct = sum(
        (network(images.to(device)).argmax(1) == labels.to(device)).sum().item() for images, labels in batches
    )
    return correct / len(batches.dataset)  # type: ignore[arg-type]  # a DigitDataset has a length
