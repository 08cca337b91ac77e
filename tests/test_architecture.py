"""The rules of the codebase: who imports whom, where networks may be named, and what the documents promise."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from atelier import MODELS

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "atelier").rglob("*.py"))
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]
README = (ROOT / "README.md").read_text()
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
DOCUMENTS = ("README.md", ".github/ARCHITECTURE.md", ".github/CONTRIBUTING.md", "checkpoints/README.md")


def nodes(files: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the syntax trees of these files, with its place."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def imports(files: list[Path]) -> Iterator[tuple[str, str]]:
    """The modules that these files import anywhere, functions included, with the place."""
    for place, node in nodes(files):
        if isinstance(node, ast.Import):
            yield from ((place, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((place, f"{node.module}.{name.name}") for name in node.names)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def commands(text: str) -> list[str]:
    """The lines of all shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_atelier_imports_neither_streamlit_nor_pages():
    forbidden = r"(streamlit|streamlit_drawable_canvas|pages)\b"
    assert [place for place, module in imports(PACKAGE) if re.match(forbidden, module)] == []


def test_pages_do_not_import_pytorch():
    assert [
        place for place, module in imports(PAGES) if re.match(r"(torch|torchvision|lightning_fabric)\b", module)
    ] == []


def test_importing_the_package_and_the_views_does_not_load_pytorch():
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in PAGES]
    modules = [".".join(part) for part in parts if len(part) > 2]  # page scripts run when they are imported
    assert "pages.ui.networks" in modules
    result = run_python(
        "import atelier, importlib, sys, unittest.mock; atelier.data.drawing; atelier.MODELS['cnn'].presets\n"
        "sys.modules['streamlit_drawable_canvas'] = unittest.mock.MagicMock()  # needs a running server\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_public_modules_are_attributes_of_the_package():
    code = "import atelier; atelier.explain.gradcam.grad_cam; atelier.export.export; atelier.studies.STUDIES"
    assert run_python(code).returncode == 0


def test_the_stack_of_layers_is_kept():
    lint = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout


def test_pages_holds_page_scripts_and_two_folders():
    menu = (ROOT / "pages/ui/navigation.py").read_text()
    scripts = set(re.findall(r'"pages/(\w+\.py)"', menu))
    assert {path.name for path in (ROOT / "pages").iterdir()} - {"__pycache__"} == {"ui", "views", *scripts}
    own = {f"pages.{name.removesuffix('.py')}" for name in scripts}
    assert [place for place, module in imports(PAGES) if module in own or module.rpartition(".")[0] in own] == []


def test_networks_are_named_in_the_registry_only():
    """A quoted name or an `isinstance` elsewhere would leave out a sixth network."""
    files = [file for file in PACKAGE + PAGES if ROOT / "atelier/models" not in file.parents and file.name != "zoo.py"]
    classes = {spec.network.split(":")[1] for spec in MODELS.values()} | {"FineTuned"}

    def names_network(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            return any(getattr(n, "id", getattr(n, "attr", "")) in classes for n in ast.walk(node.args[1]))
        return isinstance(node, ast.Constant) and node.value in MODELS

    assert [place for place, node in nodes(files) if names_network(node)] == []


def test_ci_runs_the_commands_of_readme():
    script = (ROOT / ".ci/run").read_text().splitlines()
    known_good, test = "pip install -r requirements-dev.txt -c .github/constraints.txt", "pytest"
    assert f"pip install -r requirements-dev.txt && {test}" in commands(README)
    assert "pip install -r requirements.txt && streamlit run app.py" in commands(README)
    for command in (known_good, "pytest -m slow -n 0"):
        assert command in commands(README)
        assert command in script
    assert test in script


def test_known_good_set_fulfils_every_requirement():
    pins = dict(re.findall(r"^(.+)==(.+)$", (ROOT / ".github/constraints.txt").read_text(), re.MULTILINE))
    text = "".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    requirements = [Requirement(each) for each in re.findall(r"^\w[^\s#]*", text, re.MULTILINE)]
    assert [str(each) for each in requirements if not each.specifier.contains(pins.get(each.name, "0"))] == []


def test_every_folder_of_the_package_is_installed():
    data = [*(ROOT / "atelier/data").rglob("*.gz"), *(ROOT / "checkpoints").rglob("*.[csn]*")]
    folders = {str(file.parent.relative_to(ROOT)).replace("/", ".") for file in PACKAGE + data}
    installed = {name.removeprefix("atelier.") if "checkpoints" in name else name for name in PACKAGES}
    assert installed == folders


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_files_that_exist(document):
    paths = re.findall(
        r"(?<![\w/.])((?:atelier|pages|tests|checkpoints|\.github|\.ci)/[\w./]*\w)", (ROOT / document).read_text()
    )
    assert paths
    assert [path for path in paths if not (ROOT / path).exists() and not re.search("NAME|NETWORK", path)] == []


@pytest.mark.slow
def test_python_examples_of_readme_run():
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    assert "atelier.load" in code
    result = run_python(code)
    assert result.returncode == 0, result.stderr
