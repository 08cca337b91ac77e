"""The Vision Transformer against PyTorch's own patching and attention."""

import pytest
import torch
import torch.nn.functional as F

from atelier.models.vit import Attention, ViT, ViTConfig, patchify


@pytest.mark.parametrize(("channels", "size", "patch_size"), [(1, 28, 4), (1, 28, 7), (3, 32, 8)])
def test_patches_equal_unfold(channels, size, patch_size):
    pictures = torch.rand(5, channels, size, size)
    expected = F.unfold(pictures, patch_size, stride=patch_size).transpose(1, 2)  # (N, P, C * patch_size ** 2)
    assert torch.equal(patchify(pictures, patch_size), expected)


@pytest.mark.parametrize(("dim", "heads"), [(96, 6), (64, 1), (48, 4)])
def test_attention_equals_pytorchs(dim, heads):
    torch.manual_seed(0)
    attention, tokens = Attention(dim, heads), torch.randn(3, 50, dim)
    collected, weights = attention(tokens)
    row = tokens.transpose(0, 1)  # PyTorch expects tokens first
    expected, expected_weights = F.multi_head_attention_forward(
        row, row, row, dim, heads, attention.qkv.weight, attention.qkv.bias, None, None, False, 0.0,
        attention.out.weight, attention.out.bias, training=False, need_weights=True, average_attn_weights=False,
    )  # fmt: skip
    assert torch.allclose(collected, expected.transpose(0, 1), atol=1e-5)
    assert torch.allclose(weights, expected_weights, atol=1e-5)


def test_returned_attention_changes_no_logits():
    torch.manual_seed(0)
    network, digits = ViT(ViTConfig(depth=3, heads=4)).eval(), torch.rand(4, 1, 28, 28)
    logits, attention = network(digits, return_attention=True)
    assert torch.equal(logits, network(digits))
    assert attention.shape == (4, 3, 4, 50, 50)
    assert torch.allclose(attention.sum(-1), torch.ones(4, 3, 4, 50), atol=1e-5)
    assert (attention >= 0).all()


def test_only_positions_distinguish_the_order_of_patches():
    torch.manual_seed(0)
    network, digits = ViT().eval(), torch.rand(1, 1, 28, 28)
    shuffled = F.fold(patchify(digits, 4)[:, torch.randperm(49)].transpose(1, 2), (28, 28), 4, stride=4)
    assert not torch.allclose(network(digits), network(shuffled), atol=1e-4)
    with torch.no_grad():
        network.positions[:, 1:] = 0
    assert torch.allclose(network(digits), network(shuffled), atol=1e-4)
