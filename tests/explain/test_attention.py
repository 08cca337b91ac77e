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


def made(**config):
    """A network with random weights, in which attention is far from uniform."""
    torch.manual_seed(0)
    network = ViT(ViTConfig(**config))
    for block in network.blocks:
        nn.init.normal_(block.attention.qkv.weight, std=0.3)
    return Classifier(MODELS["vit"], network, {})


@pytest.fixture
def small():
    return made(patch_size=7, dim=16, depth=3, heads=2)


@pytest.fixture(scope="module")
def digit():
    return mnist.load("test")[0][0]


# Rollout: a class token and one patch, two layers --------------------------------------------------------------------

FIRST = [[0.5, 0.5], [0.0, 1.0]]
ONLY_ITSELF = [[1.0, 0.0], [0.0, 1.0]]
SECOND = [[0.2, 0.8], [0.6, 0.4]]


def test_rollout_equals_two_layers_computed_by_hand():
    # Half itself: [.75 .25; 0 1], then [.6 .4; .3 .7]. Of the patch arrives .6 * .25 + .4 * 1.
    rolled = explain.rollout(np.array([[FIRST], [SECOND]]))
    assert rolled.dtype == np.float32
    assert rolled == pytest.approx(np.array([[0.55]]))


@pytest.mark.parametrize(
    ("fusion", "arrives"),
    [
        ("mean", 0.6 * 0.125 + 0.4),  # [.75 .25; 0 1] and itself, halved: [.875 .125; 0 1]
        ("max", 0.6 * 0.2 + 0.4),  # [1 .5; 0 1] and itself, made to sum to 1: [.8 .2; 0 1]
        ("min", 0.4),  # [.5 0; 0 1] and itself: nothing but itself
    ],
)
def test_heads_are_fused_as_asked(fusion, arrives):
    two_heads = np.array([[FIRST, ONLY_ITSELF], [SECOND, SECOND]])
    assert explain.rollout(two_heads, fusion) == pytest.approx(np.array([[arrives]]))


def test_the_smallest_attentions_are_discarded_layer_by_layer():
    keeps = [[0.7, 0.3], [0.1, 0.9]]  # .1 and .3 go: the layer only looks at itself
    assert explain.rollout(np.array([[FIRST], [keeps]]), discard=0.5) == pytest.approx(np.array([[0.25]]))


def test_the_class_tokens_own_attention_is_never_discarded():
    small = np.array([[[[0.1, 0.9], [0.4, 0.6]]]])  # without its .1, .9 of 1.9 would arrive
    assert explain.rollout(small, discard=0.5) == pytest.approx(np.array([[0.45]]))


def test_each_patch_is_where_it_belongs():
    looks = np.eye(5)
    looks[0] = [0.2, 0.1, 0.3, 0.15, 0.25]
    assert explain.rollout(looks[None, None]) == pytest.approx(np.array([[0.05, 0.15], [0.075, 0.125]]))


def test_what_does_not_reach_the_class_token_it_has_kept(small, digit):
    attention = small.attention(digit)
    kept = np.linalg.multi_dot([(layer.mean(0) + np.eye(17)) / 2 for layer in attention[::-1]])[0, 0]
    assert explain.rollout(attention).sum() == pytest.approx(1 - kept, abs=1e-5)


@pytest.mark.parametrize(("fusion", "discard"), [("median", 0), ("mean", 1), ("mean", -0.1)])
def test_what_cannot_be_asked_for_is_refused(fusion, discard):
    with pytest.raises(ValueError, match="fused by mean, max, min"):
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
    rolled = torch.eye(17)
    for block, attention in zip(twin.blocks, torch.tensor(small.attention(digit)), strict=True):
        speaks = (block.attention.nudge.grad * attention).clamp(min=0)
        fused = speaks.mean(0) if fusion == "mean" else getattr(speaks, f"a{fusion}")(0)
        rolled = rolled + fused @ rolled
    pulled = explain.gradient_rollout(small, digit, target, fusion)
    assert pulled.any()
    assert pulled == pytest.approx(rolled[0, 1:].reshape(4, 4).numpy(), rel=1e-3, abs=1e-7)


def test_a_network_with_frozen_weights_has_gradients_too(small, digit):
    expected = explain.gradient_rollout(small, digit, 5)
    small.network.requires_grad_(False)
    assert np.array_equal(explain.gradient_rollout(small, digit, 5), expected)


def test_nothing_is_left_on_the_network_nor_seen_by_others_meanwhile(small, digit, monkeypatch):
    network = small.network
    network.head.weight.requires_grad_(False)
    weights = deepcopy(network.state_dict())
    watched = []

    def untouched():
        layers = list(network.modules())
        return not any(layer._forward_hooks or layer._forward_pre_hooks or layer.training for layer in layers)

    as_input = explain.as_input
    monkeypatch.setattr(explain, "as_input", lambda *given: watched.append(untouched()) or as_input(*given))
    explain.forward_pass(small, digit)
    explain.logit_lens(small, digit)
    explain.gradient_rollout(small, digit, 4)
    assert watched == [True] * 3
    assert untouched()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["head.weight"]


# Distances -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch_size", [2, 4, 7, 14])
def test_uniform_attention_has_the_closed_form_of_a_mean_distance(patch_size):
    side = 28 // patch_size
    steps = range(1 - side, side)
    pairs = sum((side - abs(x)) * (side - abs(y)) * math.hypot(x, y) for x in steps for y in steps)
    uniform = np.full((side**2 + 1,) * 2, 1 / (side**2 + 1), np.float32)
    assert explain.attention_distance(uniform) == pytest.approx(patch_size * pairs / side**4)


def test_four_patches_by_hand():
    assert explain.attention_distance(np.full((5, 5), 0.2)) == pytest.approx(14 * (1 + 1 + math.sqrt(2)) / 4)


def test_what_goes_to_the_class_token_does_not_count():
    half = np.full((5, 5), 0.125)
    half[:, 0] = 0.5
    assert explain.attention_distance(half) == pytest.approx(explain.attention_distance(np.full((5, 5), 0.2)))
    all_of_it = np.zeros((5, 5))
    all_of_it[:, 0] = 1
    assert explain.attention_distance(all_of_it) == 0
    assert explain.attention_distance(np.eye(5)) == 0


def test_distances_are_means_over_digits(small):
    digits = mnist.load("test")[0][:3]
    each = [explain.mean_attention_distance(small, digits[i : i + 1]) for i in range(3)]
    assert explain.mean_attention_distance(small, digits) == pytest.approx(np.mean(each, axis=0))
    assert each[0][2, 1] == explain.attention_distance(small.attention(digits[0])[2, 1])
    assert each[0].shape == (3, 2)


# The way to the answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [{}, {"patch_size": 2, "depth": 1, "heads": 3}, {"patch_size": 14, "dim": 8, "depth": 2, "heads": 1}]
)
def test_every_architecture_is_followed_to_its_answer(digit, config):
    classifier = made(**config)
    sizes = classifier.network.config
    answer, way = classifier.predict_proba(digit[None])[0], explain.forward_pass(classifier, digit)
    lens = explain.logit_lens(classifier, digit)
    assert lens.shape == (sizes.depth + 1, 10)
    assert lens.sum(1) == pytest.approx(np.ones(sizes.depth + 1), abs=1e-5)
    assert lens[-1] == pytest.approx(answer, abs=1e-5)
    assert np.exp(way.logits) / np.exp(way.logits).sum() == pytest.approx(answer, abs=1e-5)
    side = 28 // sizes.patch_size
    assert way.tokens.shape == (sizes.depth + 1, side**2 + 1, sizes.dim)
    assert explain.gradient_rollout(classifier, digit, 3).shape == (side, side)
    cut = patchify(torch.tensor(digit)[None, None], sizes.patch_size)[0]
    assert np.array_equal(way.patches.reshape(cut.shape), cut)


def test_before_the_first_block_the_class_token_knows_nothing_of_the_digit(small):
    first, second = (explain.logit_lens(small, digit) for digit in mnist.load("test")[0][:2])
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])


def test_empty_patches_become_the_same_numbers_until_their_place_is_added(small, digit):
    way = explain.forward_pass(small, digit)
    empty = [number for number, patch in enumerate(way.patches) if not patch.any()]
    assert len(empty) > 2
    assert way.embedded[empty] == pytest.approx(way.embedded[[empty[0]] * len(empty)], abs=1e-5)
    assert not np.allclose(way.tokens[0, 1 + empty[0]], way.tokens[0, 1 + empty[1]], atol=1e-2)


def test_similarity_of_places_is_the_cosine(small):
    places = small.network.positions[0, 1:].detach()
    expected = F.cosine_similarity(places[:, None], places[None], dim=-1)
    assert explain.position_similarity(small) == pytest.approx(expected.numpy(), abs=1e-5)


def test_other_networks_and_other_pictures_are_refused_with_a_sentence(small, digit):
    cnn = Classifier(MODELS["cnn"], CNN(), {})
    for ask in (explain.forward_pass, explain.logit_lens, lambda *given: explain.gradient_rollout(*given, 0)):
        with pytest.raises(TypeError, match="The CNN has no attention to show"):
            ask(cnn, digit)
        with pytest.raises(ValueError, match=r"Expected uint8\[28, 28\]"):
            ask(small, digit[:27])
    with pytest.raises(TypeError, match="The CNN has no attention to show"):
        explain.position_similarity(cnn)
