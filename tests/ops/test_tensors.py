import pytest
import torch
from torch.nn import functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from mlp_backbones.layers import Mlp
from mlp_backbones.ops import gelu
from mlp_backbones.ops.tensors import gelu_


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('format_', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('shape', [(2, 5, 3, 7), (1, 1, 1, 1), (2, 8, 1, 1), (1, 3, 4, 4)])
def test_gelu_is_torchs_in_every_layout(dtype, format_, shape):
    x = torch.randn(shape, dtype=dtype).to(memory_format=format_).requires_grad_()
    got, expected = gelu(x), F.gelu(x)
    assert got.shape == expected.shape and got.stride() == expected.stride()
    torch.testing.assert_close(got, expected)
    direction = torch.randn_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, direction)[0] for y in (got, expected)))
    with torch.no_grad():
        torch.testing.assert_close(gelu(x.detach().clone(memory_format=torch.preserve_format)), expected.detach())


def test_gelu_of_a_strided_map():
    x = torch.randn(2, 6, 5, 4)[:, ::2]
    torch.testing.assert_close(gelu(x.clone()[:, :2]), F.gelu(x[:, :2]))


@pytest.mark.parametrize('format_', [torch.contiguous_format, torch.channels_last])
def test_gelu_leaves_its_input(format_):
    x = torch.randn(1, 2, 3, 4).to(memory_format=format_)
    before = x.clone()
    with torch.no_grad():
        gelu(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize('format_', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_gelu_in_place(format_, context):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).to(memory_format=format_)
    expected = F.gelu(x)
    with context():
        got = gelu_(x)
    assert got is x
    torch.testing.assert_close(got, expected)


def test_gelu_keeps_what_gradients_transforms_and_tracers_need():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    before, expected = x.clone(), F.gelu(x)
    for function in (torch.func.vmap(gelu_), torch.fx.symbolic_trace(gelu_), torch.jit.trace(gelu_, x)):
        torch.testing.assert_close(function(x), expected)
        assert torch.equal(x, before)
    leaf = x.requires_grad_()
    for differentiable in (leaf, leaf * 1):
        torch.testing.assert_close(gelu_(differentiable), expected)
        assert torch.equal(differentiable, before)


def test_an_extractor_of_features_returns_what_gelu_reads():
    """torch.fx may return any value of a graph, also one that the network would overwrite."""
    mlp = Mlp(3, 6).double().eval()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        hidden = create_feature_extractor(mlp, ['fc1'])(x)['fc1']
        whole = create_feature_extractor(mlp, ['fc1', 'fc2'])(x)
        assert torch.equal(whole['fc1'], hidden) and torch.equal(hidden, mlp.fc1(x))
        torch.testing.assert_close(whole['fc2'], mlp(x))
