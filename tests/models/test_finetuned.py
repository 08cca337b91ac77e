"""Fine-tuning: what is frozen, what is stored, and which backbone belongs to which checkpoint."""

import dataclasses

import pytest
import torch
from lightning_fabric import Fabric

from atelier import MODELS, checkpoint
from atelier.checkpoint import load_weights, weights
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.models import backbones
from atelier.models.finetuned import VGG16, AlexNet, load_features, to_pictures
from atelier.recipe import Recipe
from atelier.training.loop import fit
from atelier.training.session import Session

NETWORKS = {"vgg16": VGG16, "alexnet": AlexNet}
LAST = {"vgg16": "features.28", "alexnet": "features.10"}  # torchvision's name of the last convolution


@pytest.fixture(autouse=True)
def letters(tmp_path, monkeypatch):
    """Backbones of random weights in place of the shipped ones: quick, and safe to change."""
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path)
    for name in NETWORKS:
        write_backbone(tmp_path, name, seed=0)
    return tmp_path


def write_backbone(folder, name, seed):
    torch.manual_seed(seed)
    features, _ = load_features(name, "none")
    tensors = {key: tensor.half() for key, tensor in features.state_dict().items()}
    checkpoint.save(folder / f"{name}.safetensors", tensors, {"model": name, "kind": "backbone", "source": "glyphs"})


def digits(split, count):
    images, labels = mnist.load(split)
    return torch.tensor(images[:count]), torch.tensor(labels[:count])


@pytest.mark.parametrize("name", NETWORKS)
def test_training_changes_the_last_convolution_and_the_head_alone(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    recipe = Recipe(epochs=1, batch_size=25, train_size=50, variations=1, weight_decay=0.1)
    for _ in fit(
        Session(network, recipe, Fabric(accelerator="cpu", devices=1)), digits("train", 50), digits("val", 20)
    ):
        pass
    changed = {key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}
    trained = {key for key in before if key.startswith(("head.", f"{LAST[name]}."))}
    assert changed == trained
    assert weights(network).keys() == trained  # and a checkpoint holds nothing else
    for key, tensor in backbones.load(name, "glyphs").items():
        if f"features.{key}" not in trained:
            assert torch.equal(network.state_dict()[f"features.{key}"], tensor.float())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_frozen_part_and_the_trained_part_make_the_whole(name):
    network = NETWORKS[name]().eval()
    images, _ = digits("test", 4)
    with torch.inference_mode():
        pictures = network.features(to_pictures(images, network.config.input_size))
        assert torch.allclose(network(images), network.head(pictures), atol=1e-4)
        assert torch.equal(network(images), network.read(network.see(images)))


def test_a_checkpoint_answers_alike_after_loading_and_refuses_another_backbone(letters, tmp_path):
    name = "alexnet"
    network = MODELS[name].build().eval()
    file = tmp_path / "tuned.safetensors"
    card = {"model": name, "config": dataclasses.asdict(network.config)}
    assert len(network.config.fingerprint) == 16
    checkpoint.save(file, weights(network), card)
    images, _ = digits("test", 4)
    again = Classifier.load(file, "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(again.network(images), network(images))
    write_backbone(letters, name, seed=1)
    with pytest.raises(backbones.BackboneError, match="fingerprint"):
        Classifier.load(file, "cpu")
    (letters / f"{name}.safetensors").unlink()
    with pytest.raises(backbones.BackboneError):
        Classifier.load(file, "cpu")


def test_without_a_backbone_everything_is_stored():
    torch.manual_seed(0)
    network = MODELS["alexnet"].build({"backbone": "none"})
    assert weights(network).keys() == network.state_dict().keys()
    assert not network.features[0].weight.requires_grad  # frozen all the same
    torch.manual_seed(1)
    other = MODELS["alexnet"].build({"backbone": "none"})
    load_weights(other, weights(network))
    assert torch.equal(other.features[0].weight, network.features[0].weight)


@pytest.mark.parametrize("thawed", [0, 2, 5])
def test_as_many_convolutions_thaw_as_asked_for(thawed):
    network = MODELS["alexnet"].build({"thawed": thawed})
    convolutions = [layer for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.weight.requires_grad for layer in convolutions] == [False] * (5 - thawed) + [True] * thawed
    assert network(digits("test", 2)[0]).shape == (2, 10)


@pytest.mark.parametrize(
    ("config", "sentence"), [({"input_size": 28}, "at least 63 pixels"), ({"thawed": 6}, "5 convolutions to thaw")]
)
def test_sizes_that_cannot_work_are_refused(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        MODELS["alexnet"].build(config)
