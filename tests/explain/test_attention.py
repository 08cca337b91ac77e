"""Attention against arithmetic by hand, closed forms and a second way to its gradients."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from atelier import MODELS
from atelier.classifier import Classifier
from atelier.data import mnist
from atelier.explain import attention as explain
from atelier.models.cnn import CNN
from atelier.models.vit import Attention, ViT, ViTConfig, patchify


def untrained(**config):
    """A network with random weights, whose attention is far from uniform."""
    torch.manual_seed(0)
    network = ViT(ViTConfig(**config))
    for block in network.blocks:
        nn.init.normal_(block.attention.qkv.weight, std=0.3)
    return Classifier(MODELS["vit"], network, {})


@pytest.fixture
def small():
    return untrained(patch_size=7, dim=16, depth=3, heads=2)


@pytest.fixture(scope="module")
def digit():
    return mnist.load("test")[0][0]


# Rollout: a class token and one patch, two layers --------------------------------------------------------------------

FIRST = [[0.5, 0.5], [0.0, 1.0]]
IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
SECOND = [[0.2, 0.8], [0.6, 0.4]]


def test_rollout_equals_two_layers_computed_by_hand():
    # Half identity: [.75 .25; 0 1], then [.6 .4; .3 .7]. The patch contributes .6 * .25 + .4 * 1.
    result = explain.rollout(np.array([[FIRST], [SECOND]]))
    assert result.dtype == np.float32
    assert result == pytest.approx(np.array([[0.55]]))


@pytest.mark.parametrize(
    ("fusion", "contribution"),
    [
        ("mean", 0.6 * 0.125 + 0.4),  # [.75 .25; 0 1] and the identity, halved: [.875 .125; 0 1]
        ("max", 0.6 * 0.2 + 0.4),  # [1 .5; 0 1] and the identity, normalised: [.8 .2; 0 1]
        ("min", 0.4),  # [.5 0; 0 1] and the identity: the identity
    ],
)
def test_heads_are_fused_by_mean_max_or_min(fusion, contribution):
    two_heads = np.array([[FIRST, IDENTITY], [SECOND, SECOND]])
    assert explain.rollout(two_heads, fusion) == pytest.approx(np.array([[contribution]]))


def test_the_smallest_attentions_are_discarded_layer_by_layer():
    diagonal = [[0.7, 0.3], [0.1, 0.9]]  # without .1 and .3, the layer is the identity
    assert explain.rollout(np.array([[FIRST], [diagonal]]), discard=0.5) == pytest.approx(np.array([[0.25]]))


def test_attention_of_the_class_token_to_itself_is_never_discarded():
    small = np.array([[[[0.1, 0.9], [0.4, 0.6]]]])  # without its .1, the result would be .9 / 1.9
    assert explain.rollout(small, discard=0.5) == pytest.approx(np.array([[0.45]]))


def test_patches_are_row_by_row():
    attention = np.eye(5)
    attention[0] = [0.2, 0.1, 0.3, 0.15, 0.25]
    assert explain.rollout(attention[None, None]) == pytest.approx(np.array([[0.05, 0.15], [0.075, 0.125]]))


def test_rollout_and_the_share_of_the_class_token_sum_to_1(small, digit):
    attention = small.attention(digit)
    own = np.linalg.multi_dot([(layer.mean(0) + np.eye(17)) / 2 for layer in attention[::-1]])[0, 0]
    assert explain.rollout(attention).sum() == pytest.approx(1 - own, abs=1e-5)


@pytest.mark.parametrize(("fusion", "discard"), [("median", 0), ("mean", 1), ("mean", -0.1)])
def test_unknown_fusion_and_share_out_of_range_are_refused(fusion, discard):
    with pytest.raises(ValueError, match="mean, max, min"):
        explain.rollout(np.array([[FIRST]]), fusion, discard)


# With gradients ------------------------------------------------------------------------------------------------------


def test_relevance_equals_two_layers_computed_by_hand():
    # Positive parts: [.5 1; 0 0], then [0 .4; .6 .4]. After the first [1.5 1; 0 1], then 1 + .4 * 1 for the patch.
    gradients = np.array([[[[1.0, 2.0], [3.0, -1.0]]], [[[-1.0, 0.5], [1.0, 1.0]]]])
    assert explain.relevance(np.array([[FIRST], [SECOND]]), gradients) == pytest.approx(np.array([[1.4]]))


class Nudged(Attention):
    """Attention with zeros added to its weights, whose gradients are those of the weights."""

    def forward(self, tokens):
        t, dim = tokens.shape[1:]
        q, k, v = self.qkv(tokens)[0].view(t, 3, self.heads, dim // self.heads).permute(1, 2, 0, 3)
        weights = F.softmax(q @ k.mT / math.sqrt(dim // self.heads), dim=-1) + self.nudge
        return self.out((weights @ v).transpose(0, 1).reshape(1, t, dim)), weights[None]


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("target", [3, 8])
def test_gradient_rollout_equals_one_with_gradients_of_parameters(small, digit, target, fusion):
    twin = deepcopy(small.network)
    for block in twin.blocks:
        block.attention.__class__ = Nudged
        block.attention.nudge = nn.Parameter(torch.zeros(2, 17, 17))
    twin(torch.tensor(digit)[None])[0, target].backward()
    result = torch.eye(17)
    for block, attention in zip(twin.blocks, torch.tensor(small.attention(digit)), strict=True):
        positive = (block.attention.nudge.grad * attention).clamp(min=0)
        fused = positive.mean(0) if fusion == "mean" else getattr(positive, f"a{fusion}")(0)
        result = result + fused @ result
    rollout = explain.gradient_rollout(small, digit, target, fusion)
    assert rollout.any()
    assert rollout == pytest.approx(result[0, 1:].reshape(4, 4).numpy(), rel=1e-3, abs=1e-7)


def test_network_with_frozen_weights_has_gradients(small, digit):
    expected = explain.gradient_rollout(small, digit, 5)
    small.network.requires_grad_(False)
    assert np.array_equal(explain.gradient_rollout(small, digit, 5), expected)


def test_the_shared_network_is_never_changed(small, digit, monkeypatch):
    network = small.network
    network.head.weight.requires_grad_(False)
    weights = deepcopy(network.state_dict())
    unchanged = []

    def untouched():
        layers = list(network.modules())
        return not any(layer._forward_hooks or layer._forward_pre_hooks or layer.training for layer in layers)

    as_input = explain.as_input
    monkeypatch.setattr(explain, "as_input", lambda *args: unchanged.append(untouched()) or as_input(*args))
    explain.forward_pass(small, digit)
    explain.logit_lens(small, digit)
    explain.gradient_rollout(small, digit, 4)
    assert unchanged == [True] * 3
    assert untouched()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["head.weight"]


# Distances -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch_size", [2, 4, 7, 14])
def test_uniform_attention_has_the_closed_form_of_the_mean_distance(patch_size):
    side = 28 // patch_size
    steps = range(1 - side, side)
    pairs = sum((side - abs(x)) * (side - abs(y)) * math.hypot(x, y) for x in steps for y in steps)
    uniform = np.full((side**2 + 1,) * 2, 1 / (side**2 + 1), np.float32)
    assert explain.attention_distance(uniform) == pytest.approx(patch_size * pairs / side**4)


def test_mean_distance_of_four_patches_by_hand():
    assert explain.attention_distance(np.full((5, 5), 0.2)) == pytest.approx(14 * (1 + 1 + math.sqrt(2)) / 4)


def test_attention_to_the_class_token_has_no_distance():
    half = np.full((5, 5), 0.125)
    half[:, 0] = 0.5
    assert explain.attention_distance(half) == pytest.approx(explain.attention_distance(np.full((5, 5), 0.2)))
    whole = np.zeros((5, 5))
    whole[:, 0] = 1
    assert explain.attention_distance(whole) == 0
    assert explain.attention_distance(np.eye(5)) == 0


def test_distances_are_means_over_digits(small):
    digits = mnist.load("test")[0][:3]
    each = [explain.mean_attention_distance(small, digits[i : i + 1]) for i in range(3)]
    assert explain.mean_attention_distance(small, digits) == pytest.approx(np.mean(each, axis=0))
    assert each[0][2, 1] == explain.attention_distance(small.attention(digits[0])[2, 1])
    assert each[0].shape == (3, 2)


# The forward pass ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [{}, {"patch_size": 2, "depth": 1, "heads": 3}, {"patch_size": 14, "dim": 8, "depth": 2, "heads": 1}]
)
def test_recorded_values_lead_to_the_answer(digit, config):
    classifier = untrained(**config)
    sizes = classifier.network.config
    answer, values = classifier.predict_proba(digit[None])[0], explain.forward_pass(classifier, digit)
    lens = explain.logit_lens(classifier, digit)
    assert lens.shape == (sizes.depth + 1, 10)
    assert lens.sum(1) == pytest.approx(np.ones(sizes.depth + 1), abs=1e-5)
    assert lens[-1] == pytest.approx(answer, abs=1e-5)
    assert np.exp(values.logits) / np.exp(values.logits).sum() == pytest.approx(answer, abs=1e-5)
    side = 28 // sizes.patch_size
    assert values.tokens.shape == (sizes.depth + 1, side**2 + 1, sizes.dim)
    assert explain.gradient_rollout(classifier, digit, 3).shape == (side, side)
    patches = patchify(torch.tensor(digit)[None, None], sizes.patch_size)[0]
    assert np.array_equal(values.patches.reshape(patches.shape), patches)


def test_class_token_does_not_depend_on_the_digit_before_the_first_block(small):
    first, second = (explain.logit_lens(small, digit) for digit in mnist.load("test")[0][:2])
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])


def test_empty_patches_have_equal_embeddings_until_positions_are_added(small, digit):
    values = explain.forward_pass(small, digit)
    empty = [number for number, patch in enumerate(values.patches) if not patch.any()]
    assert len(empty) > 2
    assert values.embedded[empty] == pytest.approx(values.embedded[[empty[0]] * len(empty)], abs=1e-5)
    assert not np.allclose(values.tokens[0, 1 + empty[0]], values.tokens[0, 1 + empty[1]], atol=1e-2)


def test_position_similarity_is_the_cosine(small):
    positions = small.network.positions[0, 1:].detach()
    expected = F.cosine_similarity(positions[:, None], positions[None], dim=-1)
    assert explain.position_similarity(small) == pytest.approx(expected.numpy(), abs=1e-5)


def test_other_networks_and_other_images_are_refused(small, digit):
    cnn = Classifier(MODELS["cnn"], CNN(), {})
    for function in (explain.forward_pass, explain.logit_lens, lambda *args: explain.gradient_rollout(*args, 0)):
        with pytest.raises(TypeError, match="CNN"):
            function(cnn, digit)
        with pytest.raises(ValueError, match=r"Expected uint8\[28, 28\]"):
            function(small, digit[:27])
    with pytest.raises(TypeError, match="CNN"):
        explain.position_similarity(cnn)
