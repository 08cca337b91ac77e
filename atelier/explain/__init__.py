"""Why networks answer as they do. Each module is imported when it is first used, for most bring PyTorch."""

from importlib import import_module
from types import ModuleType

__all__ = ["architecture", "attention", "evidence", "features", "gradcam", "neighbours", "perturbations", "proposals"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"atelier.explain.{name}")
    raise AttributeError(f"module 'atelier.explain' has no attribute {name!r}")
