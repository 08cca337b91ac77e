"""The walls of the house: who may import whom, and what the pages must offer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imports(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.split(".")[0])
    return modules


@pytest.mark.parametrize("file", sorted((ROOT / "atelier").rglob("*.py")), ids=lambda file: file.name)
def test_networks_know_nothing_of_the_pages(file):
    assert not imports(file) & {"streamlit", "streamlit_drawable_canvas", "pages"}


@pytest.mark.parametrize("file", [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))], ids=lambda file: file.name)
def test_pages_do_not_import_pytorch(file):
    assert not imports(file) & {"torch", "torchvision", "lightning_fabric"}


def test_importing_the_package_does_not_import_pytorch():
    code = "import atelier, sys; atelier.data.drawing; atelier.MODELS['cnn'].presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_all_can_be_reached_from_the_package():
    code = "import atelier; atelier.explain.gradcam.grad_cam; atelier.export.export; atelier.studies.STUDIES"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
