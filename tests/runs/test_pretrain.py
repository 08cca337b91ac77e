from dataclasses import replace

import numpy as np
import pytest
import torch

from atelier import MODELS, checkpoint
from atelier.data.glyphs import Glyphs
from atelier.models import backbones
from atelier.models.finetuned import FineTuned, load_features, to_pictures
from atelier.recipe import Recipe
from atelier.runs import pretrain
from atelier.runs.folder import Run, RunError
from atelier.training.letters import LetterNetwork
from atelier.zoo import Family, of_family


@pytest.fixture
def letters(monkeypatch):
    quick = replace(MODELS["alexnet"], letters=(64, Recipe(epochs=1, batch_size=19)))
    monkeypatch.setitem(MODELS, "alexnet", quick)
    rng = np.random.default_rng(0)
    return Glyphs(rng.integers(0, 256, (60, 28, 28), dtype=np.uint8), np.arange(60) // 20, ["a", "б", "ת"], ["one.ttf"])


@pytest.mark.parametrize("architecture", of_family(Family.FINE_TUNED))
def test_folded_batch_norms_give_the_same_features(architecture):
    torch.manual_seed(0)
    network = LetterNetwork(architecture, MODELS[architecture].letters[0], letters=5)
    glyphs = torch.rand(8, 1, 28, 28)
    network.train()
    for _ in range(3):
        network(glyphs)  # moves the norms' statistics away from 0 and 1
    network.eval()
    plain, _ = load_features(architecture, "none")
    plain.eval()
    plain.load_state_dict(network.folded())
    pictures = to_pictures(glyphs, network.input_size)
    with torch.inference_mode():
        assert torch.allclose(plain(pictures), network.features(pictures), atol=1e-4)


@pytest.mark.slow
def test_pretraining_ends_with_a_backbone_for_fine_tuning(letters, tmp_path, monkeypatch):
    config = pretrain.new_config("alexnet", letters, None, "cpu")
    run = Run.create(tmp_path, config)
    events = list(pretrain.pretrain(config, run, letters))
    assert [e.split for e in events] == ["train", "train", "train", "val"]
    assert run.status()[0] == "done"
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path)
    run.path(pretrain.BACKBONE).rename(tmp_path / "alexnet.safetensors")
    card = checkpoint.read_card(tmp_path / "alexnet.safetensors")
    assert card["letters"] == "aбת"
    network = MODELS["alexnet"].build()
    assert isinstance(network, FineTuned)
    assert network.config.fingerprint == backbones.fingerprint(backbones.load("alexnet", "glyphs"))


def test_resume_with_other_letters_is_refused(letters, tmp_path):
    config = pretrain.new_config("alexnet", letters, 1, "cpu")
    run = Run.create(tmp_path, config)
    other = Glyphs(255 - letters.images, letters.labels, letters.characters, letters.fonts)
    with pytest.raises(RunError):
        pretrain.pretrain(config, run, other)
