"""The Vision Transformer against PyTorch's own patching and attention."""

import pytest
import torch
import torch.nn.functional as F

import atelier
from atelier.models.vit import Attention, ViT, ViTConfig, patchify


@pytest.mark.parametrize(("channels", "size", "patch_size"), [(1, 28, 4), (1, 28, 7), (3, 32, 8)])
def test_patching_equals_unfold(channels, size, patch_size):
    pictures = torch.rand(5, channels, size, size)
    expected = F.unfold(pictures, patch_size, stride=patch_size).transpose(1, 2)  # (N, P, C * patch_size ** 2)
    assert torch.equal(patchify(pictures, patch_size), expected)


@pytest.mark.parametrize(("dim", "heads"), [(96, 6), (64, 1), (48, 4)])
def test_attention_equals_pytorchs(dim, heads):
    torch.manual_seed(0)
    ours, tokens = Attention(dim, heads), torch.randn(3, 50, dim)
    collected, weights = ours(tokens)
    row = tokens.transpose(0, 1)  # PyTorch wants tokens first
    theirs, their_weights = F.multi_head_attention_forward(
        row, row, row, dim, heads, ours.qkv.weight, ours.qkv.bias, None, None, False, 0.0, ours.out.weight,
        ours.out.bias, training=False, need_weights=True, average_attn_weights=False,
    )  # fmt: skip
    assert torch.allclose(collected, theirs.transpose(0, 1), atol=1e-5)
    assert torch.allclose(weights, their_weights, atol=1e-5)


def test_asking_for_attention_changes_no_answer():
    torch.manual_seed(0)
    network, digits = ViT(ViTConfig(depth=3, heads=4)).eval(), torch.rand(4, 1, 28, 28)
    logits, attention = network(digits, return_attention=True)
    assert torch.equal(logits, network(digits))
    assert attention.shape == (4, 3, 4, 50, 50)
    assert torch.allclose(attention.sum(-1), torch.ones(4, 3, 4, 50), atol=1e-5)
    assert (attention >= 0).all()


def test_places_matter():
    torch.manual_seed(0)
    network, digits = ViT().eval(), torch.rand(1, 1, 28, 28)
    patches = patchify(digits, 4)
    shuffled = F.fold(patches[:, torch.randperm(49)].transpose(1, 2), (28, 28), 4, stride=4)
    assert not torch.allclose(network(digits), network(shuffled), atol=1e-4)
    with torch.no_grad():
        network.positions[:, 1:] = 0
    assert torch.allclose(network(digits), network(shuffled), atol=1e-4)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [({"patch_size": 5}, "do not tile"), ({"dim": 96, "heads": 5}, "cannot share"), ({"patch_size": 1}, "do not tile")],
)
def test_impossible_sizes_are_refused_with_a_sentence(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        ViTConfig(**config)


def test_the_shipped_size():
    network = atelier.load("vit", "cpu").network
    assert sum(p.numel() for p in network.parameters()) < 1_500_000
    assert 28 // network.config.patch_size >= 7
