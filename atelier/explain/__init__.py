"""Explanations of networks. Each module is imported on first use, because most bring PyTorch."""

from importlib import import_module
from types import ModuleType

__all__ = [
    "architecture",
    "attention",
    "attribution",
    "convolutions",
    "gradcam",
    "neighbours",
    "perturbations",
    "proposals",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"atelier.explain.{name}")
    raise AttributeError(f"module 'atelier.explain' has no attribute {name!r}")
