"""Several processes train one network: `torchrun`, on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from atelier.__main__ import main
from atelier.recipe import Recipe
from atelier.runs.folder import Run
from atelier.training.setup import new_config

ROOT = Path(__file__).parent.parent.parent
# With the learning rate 0.3 of the CNN's own recipes, so few steps have random results, also in one process.
RECIPE = Recipe(
    epochs=3, batch_size=100, train_size=2000, optimizer="sgd", learning_rate=0.1, ema_decay=0.9, validation_size=500
)


@pytest.mark.slow
def test_two_processes_reach_the_accuracy_of_one(tmp_path, monkeypatch):
    """Each trains on half of every batch, and its batch norms use this half alone."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = new_config("cnn", RECIPE, "cpu")
    alone, together = (Run.create(tmp_path, config) for _ in range(2))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "atelier"]
    train = ["train", "cnn", "--runs", str(tmp_path), "--resume"]
    done = subprocess.run([*torchrun, *train, together.id], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert main([*train, alone.id]) == 0

    assert [(e["split"], e["step"]) for e in together.metrics()] == [(e["split"], e["step"]) for e in alone.metrics()]
    assert sum(map(sum, together.metrics()[-2]["confusion"])) == 500  # each validation digit is counted once
    accuracies = [run.read("result.json")["accuracy"] for run in (together, alone)]
    assert min(accuracies) > 0.9
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.02)
