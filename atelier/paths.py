"""Where things lie on disk."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parent  # where a new Python process finds this package: the checkout, or site-packages
INSTALLED = PACKAGE / "checkpoints"  # only in an installed package
CHECKPOINTS = (
    INSTALLED if INSTALLED.is_dir() else ROOT / "checkpoints"
)  # weights and results that ship with the project
RUNS = Path(os.environ.get("ATELIER_RUNS", "runs"))  # people's own runs
