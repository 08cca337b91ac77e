"""No logic depends on a text: with every label and sentence replaced, all pages and views still open."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "support" / "without_texts.py"


def test_pages_work_whatever_their_texts_are(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if " widgets | " in line]
    assert len(lines) == 13
    assert [line for line in lines if not line.endswith(" widgets | ")] == []
