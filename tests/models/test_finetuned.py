"""Fine-tuning: frozen weights, stored weights, and the backbone that a checkpoint needs."""

import dataclasses

import pytest
import torch

from atelier import MODELS, checkpoint
from atelier.checkpoint import load_weights, weights
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.models import backbones
from atelier.models.finetuned import MatrixConv2d, load_features, to_pictures
from atelier.recipe import Recipe
from atelier.training.loop import fit
from atelier.training.setup import new_session, new_task

LAST = {"vgg16": "features.28", "alexnet": "features.10"}  # torchvision's name of the last convolution


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Backbones with random weights instead of the shipped ones."""
    monkeypatch.setattr(backbones, "BACKBONES", tmp_path)
    for name in LAST:
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


@pytest.mark.parametrize("name", LAST)
def test_training_changes_only_the_last_convolution_and_the_head(name):
    recipe = Recipe(epochs=1, batch_size=25, train_size=50, variations=1, weight_decay=0.1)
    session = new_session(name, recipe, torch.device("cpu"))
    before = {key: tensor.clone() for key, tensor in session.network.state_dict().items()}
    list(fit(session, new_task(name, session, digits("train", 50), digits("val", 20))))
    after = session.network.state_dict()
    trained = {key for key in before if key.startswith(("head.", f"{LAST[name]}."))}
    assert {key for key in after if not torch.equal(after[key], before[key])} == trained
    assert weights(session.network).keys() == trained  # a checkpoint stores nothing else
    for key, tensor in backbones.load(name, "glyphs").items():
        if f"features.{key}" not in trained:
            assert torch.equal(after[f"features.{key}"], tensor.float())


@pytest.mark.parametrize("name", LAST)
def test_forward_is_frozen_part_then_trained_part(name):
    network = MODELS[name].build().eval()
    images, _ = digits("test", 4)
    with torch.inference_mode():
        maps = network.features(to_pictures(images, network.config.input_size))
        assert torch.allclose(network(images), network.head(maps), atol=1e-4)
        assert torch.equal(network(images), network.classify(network.extract_features(images)))


def test_matrix_product_equals_convolution():
    torch.manual_seed(0)
    layer, maps = MatrixConv2d(3, 5, kernel_size=3, padding=1).train(), torch.randn(2, 3, 4, 4)
    expected = torch.nn.functional.conv2d(maps, layer.weight, layer.bias, padding=1)
    assert torch.allclose(layer(maps), expected, atol=1e-6)


def test_checkpoint_needs_its_own_backbone(folder, tmp_path):
    network = MODELS["alexnet"].build().eval()
    file = tmp_path / "tuned.safetensors"
    assert len(network.config.fingerprint) == 16
    checkpoint.save(file, weights(network), {"model": "alexnet", "config": dataclasses.asdict(network.config)})
    images, _ = digits("test", 4)
    with torch.inference_mode():
        torch.testing.assert_close(Classifier.load(file, "cpu").network(images), network(images))
    write_backbone(folder, "alexnet", seed=1)
    with pytest.raises(backbones.BackboneError, match=network.config.fingerprint):
        Classifier.load(file, "cpu")
    (folder / "alexnet.safetensors").unlink()
    with pytest.raises(backbones.BackboneError):
        Classifier.load(file, "cpu")


def test_without_a_backbone_all_weights_are_stored():
    torch.manual_seed(0)
    network = MODELS["alexnet"].build({"backbone": "none"})
    assert weights(network).keys() == network.state_dict().keys()
    assert not network.features[0].weight.requires_grad  # still frozen
    torch.manual_seed(1)
    other = MODELS["alexnet"].build({"backbone": "none"})
    load_weights(other, weights(network))
    assert torch.equal(other.features[0].weight, network.features[0].weight)


@pytest.mark.parametrize("thawed", [0, 2, 5])
def test_requested_number_of_convolutions_is_trained(thawed):
    network = MODELS["alexnet"].build({"thawed": thawed})
    convolutions = [layer for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.weight.requires_grad for layer in convolutions] == [False] * (5 - thawed) + [True] * thawed
    assert network(digits("test", 2)[0]).shape == (2, 10)
