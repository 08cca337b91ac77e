"""Opens every page and view of a copy of the app whose texts are replaced: `python without_texts.py FOLDER`.

Each text gets a replacement of its own, also where the same text stands twice: logic that compares texts breaks.
"""

import ast
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[<>{};=\\/]|^\.|^#|--|://|^:material")  # CSS, HTML, JavaScript, paths, icons


class Replace(ast.NodeTransformer):
    """Every string that a person reads becomes «1», «2», and so on."""

    def __init__(self) -> None:
        self.count = 0

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.value = node.value and self.visit(node.value)  # annotations stay
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        node.defaults = [self.visit(default) for default in node.defaults]
        node.kw_defaults = [default and self.visit(default) for default in node.kw_defaults]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not isinstance(node.value, str) or not re.search(r"^[A-ZÀ-Ý]|[^\W\d]\s|\s[^\W\d]", node.value):
            return node
        if CODE.search(node.value):
            return node
        self.count += 1
        return ast.Constant(f"«{self.count}»")


def copy_without_texts(folder: Path) -> None:
    for file in [ROOT / "app.py", *(ROOT / "pages").rglob("*")]:
        if file.is_dir() or "__pycache__" in file.parts:
            continue
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".py":
            copy.write_text(ast.unparse(Replace().visit(ast.parse(file.read_text()))))
        else:
            shutil.copy(file, copy)


def open_everything(folder: Path) -> None:
    sys.path[:0] = [str(folder), str(ROOT)]
    from streamlit.testing.v1 import AppTest

    from atelier import MODELS
    from atelier.data import mnist
    from pages.ui import networks

    for name in MODELS:
        networks.load(name).result(timeout=120)
    visits = [("home", {}), ("draw", {}), ("train", {})]
    visits += [("compare", {"view": view}) for view in ("leaderboard", "failures", "studies")]
    visits += [("inside", {"view": view}) for view in ("convolutions", "transformer", "detector")]
    asks = ("perturbations", "adversarial", "neighbours", "architecture")
    visits += [("inside", {"view": "all", "ask": ask}) for ask in asks]
    for page, query in visits:
        app = AppTest.from_file(str(folder / "app.py"), default_timeout=120)
        app.session_state["digit"] = mnist.load("test")[0][0]
        app.switch_page(f"pages/{page}.py")
        app.query_params.update(query)
        app.run()
        widgets = sum(len(getattr(app, kind)) for kind in ("button", "segmented_control", "selectbox", "slider"))
        problem = " ".join(f"{error.message} {error.stack_trace[-1:]}" for error in app.exception)
        print(page, *query.values(), f"{widgets} widgets", problem, sep=" | ", flush=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    copy_without_texts(target)
    open_everything(target)
