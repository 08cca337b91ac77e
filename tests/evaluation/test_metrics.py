import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from atelier.evaluation.metrics import classification_metrics


@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, 500)
    probabilities = rng.dirichlet(np.ones(10), 500).astype(np.float32)
    probabilities[np.arange(300), labels[:300]] += 1  # many right, some wrong
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    metrics = classification_metrics(probabilities, labels)
    predictions = probabilities.argmax(axis=1)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predictions), abs=1e-6)
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"), abs=1e-6)
    assert metrics["loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-4)
