"""Training and measuring accuracy, as studies do it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atelier.data import mnist
from atelier.studies import trial
from atelier.training.feature_cache import FeatureCache
from atelier.zoo import MODELS

CNN = {"channels": (4, 4, 4, 4), "hidden": 16}
RECIPE = replace(MODELS["cnn"].presets["demo"], epochs=3, batch_size=50, train_size=200, ema_decay=0.0)


def result(generator):
    """The return value of a generator, and how often it yields None."""
    signs = 0
    try:
        while True:
            assert next(generator) is None
            signs += 1
    except StopIteration as stop:
        return stop.value, signs


def test_studies_do_not_import_pytorch():
    code = "from atelier.studies import STUDIES; [s.points(True) for s in STUDIES.values()]; import sys; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_sample_is_stratified_and_depends_on_the_seed():
    labels = mnist.load("test")[1]
    sample = trial.stratified(labels, 1_000, seed=1)
    counts, all_counts = np.bincount(labels[sample]), np.bincount(labels)
    assert np.abs(counts - all_counts / 10).max() <= 1
    assert len(set(sample)) == 1_000
    assert np.array_equal(sample, trial.stratified(labels, 1_000, seed=1))
    assert not np.array_equal(sample, trial.stratified(labels, 1_000, seed=2))
    assert np.array_equal(trial.stratified(labels, 10_000), np.arange(10_000))


def test_accuracy_counts_correct_answers_and_yields_after_each_chunk(monkeypatch):
    class Constant:
        def predict(self, images):
            return np.full(len(images), 7)

    monkeypatch.setattr(trial, "CHUNK", 30)
    images, labels = (part[:100] for part in mnist.load("test"))
    share, signs = result(trial.accuracy(Constant(), images, labels))
    assert share == np.mean(labels == 7)
    assert signs == 4


def test_training_depends_on_the_seed_and_averages_weights_if_the_recipe_does():
    images = mnist.load("test")[0][:50]
    answers = []
    for changes in ({}, {}, {"seed": 1}, {"ema_decay": 0.9}):
        (classifier, seconds), _ = result(trial.train("cnn", CNN, replace(RECIPE, **changes), "cpu"))
        answers.append(classifier.predict_proba(images))
        assert seconds > 0
    same, *different = (np.array_equal(answers[0], other) for other in answers[1:])
    assert same
    assert not any(different)


def test_training_learns():
    images, labels = (part[:500] for part in mnist.load("test"))
    (classifier, _), _ = result(trial.train("cnn", CNN, replace(RECIPE, epochs=12), "cpu"))
    assert np.mean(classifier.predict(images) == labels) > 0.3  # guessing: 0.1


def test_training_yields_after_each_step(monkeypatch):
    monkeypatch.setattr(trial, "EVERY", 0.0)
    assert result(trial.train("cnn", CNN, RECIPE, "cpu"))[1] == 12  # three passes of four batches


def test_features_are_neither_read_from_disk_nor_written(monkeypatch):
    def refuse(*_):
        pytest.fail("The cache was used.")

    monkeypatch.setattr(FeatureCache, "get", refuse)
    monkeypatch.setattr(FeatureCache, "put", refuse)
    monkeypatch.setattr(trial, "CHUNK", 8)
    recipe = replace(MODELS["alexnet"].presets["demo"], epochs=2, batch_size=10, train_size=20)
    _, signs = result(trial.train("alexnet", {"backbone": "none", "thawed": 0}, recipe, "cpu"))
    assert signs >= 1 + 3 + 3  # one digit in place of validation digits, then two copies of 20 digits
