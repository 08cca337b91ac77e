"""Sizes of networks and their limits.

Configs come from forms and from other people's files, so they are checked before any memory is allocated. The limits
are what a laptop can train.
"""

import reprlib
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Config:
    """The sizes of a network, each made by `number`, `numbers` or `choice`.

    Raises:
        ValueError: for a value of another type or outside its limits; one sentence that names the size.
    """

    def __post_init__(self) -> None:
        for size in fields(self):
            if check := size.metadata.get("check"):
                check(size.name, getattr(self, size.name))


def number(default: float, low: float, high: float) -> Any:
    """A number from `low` to `high`, both included; a whole one if the default is."""
    return field(default=default, metadata={"check": _Number(isinstance(default, int), low, high)})


def numbers(default: tuple[float, ...], low: float, high: float, fewest: int = 1, most: int = 5) -> Any:
    """A row of `fewest` to `most` numbers, each from `low` to `high`; whole ones if the default's are."""
    each = _Number(isinstance(default[0], int), low, high)

    def check(name: str, values: object) -> None:
        if not isinstance(values, (tuple, list)) or not fewest <= len(values) <= most:
            count = fewest if fewest == most else f"{fewest} to {most}"
            raise ValueError(f"{name} must be {count} numbers, not {reprlib.repr(values)}.")
        for value in values:
            each(f"each of {name}", value)

    return field(default=default, metadata={"check": check})


def choice(default: int | str, options: tuple[int | str, ...]) -> Any:
    """One of several values."""

    def check(name: str, value: object) -> None:
        if type(value) is not type(default) or value not in options:
            raise ValueError(f"{name} must be one of {', '.join(map(str, options))}, not {reprlib.repr(value)}.")

    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class _Number:
    whole: bool
    low: float
    high: float

    def __call__(self, name: str, value: object) -> None:
        types, kind = (int, "a whole number") if self.whole else ((int, float), "a number")
        if not isinstance(value, types) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{name} must be {kind} from {self.low} to {self.high}, not {reprlib.repr(value)}.")
