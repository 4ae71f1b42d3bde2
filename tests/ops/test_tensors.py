import pytest
import torch
from torch.nn import functional as F

from mlp_backbones.ops import gelu


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
