"""Registering is enough: one file and one entry bring a sixth network to the command line and to every page."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from atelier import MODELS, paths
from atelier.__main__ import main
from atelier.data import mnist
from atelier.recipe import Recipe
from atelier.runs.folder import Run
from atelier.zoo import ModelSpec
from pages.ui import networks

ROOT = Path(__file__).parents[2]
MLP = """
from dataclasses import dataclass

from torch import nn

from atelier.models.inputs import to_unit_range


@dataclass(frozen=True)
class MLPConfig:
    hidden: int = 16


class MLP(nn.Module):
    def __init__(self, config=MLPConfig()):
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, digits):
        return self.layers(to_unit_range(digits))
"""


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    """The registered network, its weights beside the shipped ones, and the run that trained it."""
    folder = tmp_path_factory.mktemp("sixth")
    (folder / "one_file.py").write_text(MLP)
    recipe = Recipe(epochs=1, train_size=2_000, batch_size=50, validation_size=100)
    spec = ModelSpec(
        name="mlp",
        title="MLP",
        colour="#555555",
        idea="One hidden layer.",
        paper="Rosenblatt 1958",
        network="one_file:MLP",
        config="MLPConfig",
        presets={"demo": recipe, "full": replace(recipe, epochs=2)},
    )
    checkpoints, runs = folder / "checkpoints", folder / "runs"
    checkpoints.mkdir()
    for shipped in paths.CHECKPOINTS.iterdir():
        (checkpoints / shipped.name).symlink_to(shipped)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setitem(MODELS, spec.name, spec)
        patch.setattr(paths, "CHECKPOINTS", checkpoints)
        patch.setattr(paths, "RUNS", runs)
        assert main(["train", "mlp", "--preset", "demo", "--device", "cpu", "--runs", str(runs)]) == 0
        (run,) = Run.all(runs)
        shutil.copy(run.path("best.safetensors"), spec.checkpoint)
        yield run
        sys.modules.pop("one_file", None)


@pytest.fixture
def app(mlp):
    for name in MODELS:
        networks.load(name).result(timeout=120)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.session_state["digit"] = mnist.load("test")[0][0]
    return app


def open_page(app: AppTest, page: str, **query: str) -> AppTest:
    app.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def keys(app: AppTest) -> set[str]:
    """The keys of all containers and widgets on the page."""
    found, blocks = set(), [app.main, app.sidebar]
    while blocks:
        block = blocks.pop()
        found.add(getattr(block, "key", None))
        blocks += getattr(block, "children", {}).values()
    return found - {None}


def test_it_trains_and_answers(mlp):
    import atelier

    assert mlp.status()[0] == "done"
    images, labels = mnist.load("test")
    assert (atelier.load("mlp").predict(images[:1000]) == labels[:1000]).mean() > 0.5


PAGES = [("home", {}), ("draw", {}), ("train", {})]
PAGES += [
    ("inside", {"view": "all", "ask": ask}) for ask in ("perturbations", "adversarial", "neighbours", "architecture")
]
PAGES += [("inside", {"view": view}) for view in ("convolutions", "transformer", "detector")]
PAGES += [("compare", {"view": view}) for view in ("leaderboard", "failures", "studies")]


@pytest.mark.parametrize(("page", "query"), PAGES, ids=[" ".join([page, *query.values()]) for page, query in PAGES])
def test_every_page_opens_with_it(app, page, query):
    found = keys(open_page(app, page, **query))
    if query.get("view", "all") != "all":  # of one family, or of networks that are measured
        return
    of_the_cnn = {key for key in found if key.endswith("_cnn") and "faster" not in key}
    assert {key.removesuffix("cnn") + "mlp" for key in of_the_cnn} <= found


@pytest.mark.parametrize(("page", "key"), [("home", "network_mlp"), ("draw", "answer_mlp"), ("inside", "evidence_mlp")])
def test_it_appears_where_the_five_appear(app, page, key):
    assert key in keys(open_page(app, page))


def test_its_answer_is_a_digit(app, text):
    assert text(open_page(app, "draw"), "answer_mlp").isdigit()


def test_train_offers_it_and_shows_its_run(app, mlp):
    open_page(app, "train")
    assert app.session_state["run"] == mlp.id
    app.session_state["train_networks"] = ["mlp"]
    app.run()
    assert not app.exception
    assert not app.error


def test_command_line_knows_it(mlp, tmp_path, capsys):
    from PIL import Image

    picture = tmp_path / "digit.png"
    Image.fromarray(255 - mnist.load("test")[0][0]).resize((112, 112)).save(picture)
    assert main(["predict", str(picture), "--json"]) == 0
    assert '"mlp"' in capsys.readouterr().out
