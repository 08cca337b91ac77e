"""Sizes that a network may have. They come from a form or from somebody's file, and are checked before any memory is
taken for them: the limits are what a laptop can train."""

import reprlib


def check_number(name: str, value: object, low: float, high: float, whole: bool = True) -> None:
    """Refuse a size that is of another type, or not between `low` and `high`, both included.

    Raises:
        ValueError: with a sentence for whoever asked.
    """
    types, kind = (int, "a whole number") if whole else ((int, float), "a number")
    if not isinstance(value, types) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be {kind} from {low} to {high}, not {reprlib.repr(value)}.")


def check_numbers(
    name: str, values: object, fewest: int, most: int, low: float, high: float, whole: bool = True
) -> None:
    """The same for `fewest` to `most` numbers in a row."""
    if not isinstance(values, (tuple, list)) or not fewest <= len(values) <= most:
        count = fewest if fewest == most else f"{fewest} to {most}"
        raise ValueError(f"{name} must be {count} numbers, not {reprlib.repr(values)}.")
    for value in values:
        check_number(f"each of {name}", value, low, high, whole)
