"""Snapshots of a run's network on disk, see `explain.snapshots`; reading them needs no PyTorch."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from atelier import files
from atelier.runs.folder import Run, Stamp

SNAPSHOT = "watch.npz"  # in the run's folder


def write(run: Run, arrays: dict[str, np.ndarray]) -> None:
    """Replace the run's snapshot.

    Raises:
        OSError: if the disk is full.
    """
    with files.replacing(run.path(SNAPSHOT)) as unfinished:
        np.savez(unfinished, allow_pickle=False, **arrays)


def read(run: Run) -> dict[str, np.ndarray]:
    """The run's snapshot, not to be changed. Empty if there is none, or it is damaged."""
    return _read(run.path(SNAPSHOT), run.stamp(SNAPSHOT))


@lru_cache(maxsize=64)
def _read(path: Path, stamp: Stamp) -> dict[str, np.ndarray]:
    return files.read_npz(path)
