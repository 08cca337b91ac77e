import importlib
from dataclasses import fields

import pytest

from atelier import MODELS
from atelier.recipe import Recipe


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_offered_sizes_are_the_defaults_of_the_config(spec):
    config = getattr(importlib.import_module(spec.network.split(":")[0]), spec.config)()
    assert spec.default_sizes == {name: getattr(config, name) for name in spec.default_sizes}


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_own_recipe_fields_are_fields_of_a_recipe(spec):
    assert {*spec.recipe_fields} <= {field.name for field in fields(Recipe)}
