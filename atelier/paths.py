"""Where things lie."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent  # where a new Python process finds this package
CHECKPOINTS = ROOT / "checkpoints"  # trained weights and measured results that ship with the project
RUNS = Path(os.environ.get("ATELIER_RUNS", "runs"))  # people's own runs
