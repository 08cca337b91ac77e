"""What `watch.py` has left of a run's network, as far as it is whole. Needs no PyTorch."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from atelier.runs.folder import Run, Stamp


def read(run: Run) -> dict[str, np.ndarray]:
    """What `watch.py` has left, as far as it is whole; not to be changed. Empty if there is nothing yet."""
    return _read(run.folder, run.stamp("watch.npz"))


@lru_cache(maxsize=64)
def _read(folder: Path, stamp: Stamp) -> dict[str, np.ndarray]:
    try:
        seen = Run(folder).watched()
    except Exception:  # a damaged archive can fail in any way
        return {}
    return {name: array for group in GROUPS for name, array in _whole(seen, group).items()}


# Groups of arrays that are shown together: of each the kinds of its type, and its shape, in which a letter is a number
# from 1 (K: from 0), the same within a group.
GROUPS: tuple[dict[str, tuple[str, tuple[int | str, ...]]], ...] = (
    {"digits": ("u", ("N", 28, 28)), "labels": ("iu", ("N",)), "probabilities": ("f", ("N", 10))},
    {"filters": ("f", ("F", "h", "w"))},
    {"positions": ("f", ("P", "P"))},
    {"digits": ("u", ("N", 28, 28)), "attention": ("f", ("N", "g", "g"))},
    {"scene": ("u", ("H", "W")), "boxes": ("f", ("K", 4)), "box_labels": ("iuf", ("K",)), "scores": ("f", ("K",))},
)


def _whole(seen: dict[str, np.ndarray], group: dict[str, tuple[str, tuple[int | str, ...]]]) -> dict[str, np.ndarray]:
    """The arrays of a group, or none if one is missing or damaged."""
    sizes: dict[int | str, int] = {}
    for name, (kinds, shape) in group.items():
        array = seen.get(name)
        if array is None or array.dtype.kind not in kinds or array.ndim != len(shape) or not np.isfinite(array).all():
            return {}
        for expected, size in zip(shape, array.shape, strict=True):
            fits = size == expected if isinstance(expected, int) else sizes.setdefault(expected, size) == size
            if not fits or (size == 0 and expected != "K") or size > 2000:
                return {}
    return {name: seen[name] for name in group}
