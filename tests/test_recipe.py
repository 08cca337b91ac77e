"""Recipes that cannot work, and the presets of every network."""

import pytest

from atelier import MODELS
from atelier.recipe import Augmentation, Recipe, RecipeError

IMPOSSIBLE = [
    {"epochs": 0},
    {"batch_size": 1},
    {"batch_size": 60_000},
    {"learning_rate": 0.0},
    {"learning_rate": 2.0},
    {"weight_decay": -1.0},
    {"label_smoothing": 1.0},
    {"train_size": 5},
    {"train_size": 60_000},
    {"train_size": 100, "batch_size": 250},
    {"precision": "8-bit"},
    {"optimizer": "magic"},
    {"schedule": "lunar"},
    {"ema_decay": 1.0},
    {"seed": -1},
    {"validation_size": 50},
    {"variations": 0},
    {"digits_per_scene": 7},
]


@pytest.mark.parametrize("wrong", IMPOSSIBLE, ids=str)
def test_recipe_that_cannot_work_is_refused(wrong):
    with pytest.raises(RecipeError, match=r"\.$"):
        Recipe(**{"epochs": 1, **wrong})


@pytest.mark.parametrize("wrong", [{"rotation": -1.0}, {"stroke": 2.0}], ids=str)
def test_augmentation_that_cannot_work_is_refused(wrong):
    with pytest.raises(RecipeError, match=r"\.$"):
        Augmentation(**wrong)


@pytest.mark.parametrize("model", MODELS)
def test_every_network_has_a_demo_and_a_full_recipe(model):
    presets = MODELS[model].presets
    assert presets["demo"].epochs < presets["full"].epochs
