import pytest
import torch
from torch.nn import functional as F

from mlp_backbones.ops import group_norm_linear, layer_norm

from .compiling import pretend_compiling


def inputs(channels, mean, dtype):
    torch.manual_seed(0)
    x = mean + torch.randn(2, channels, 16, 15, dtype=dtype)
    return x, *(torch.randn(size, dtype=dtype) for size in ((channels,), (channels,), (7, channels, 1, 1), (7,)))


def plain(x, weight, bias, linear_weight, linear_bias):
    return F.conv2d(F.group_norm(x, 1, weight, bias), linear_weight, linear_bias)


@pytest.mark.parametrize('mean', [0, 100])
def test_the_map_of_a_norm_with_gradients(mean):
    tensors = [tensor.requires_grad_() for tensor in inputs(10, mean, torch.float64)]
    results = [function(*tensors) for function in (group_norm_linear, plain)]
    grads = [torch.autograd.grad(y.sin().sum(), tensors) for y in results]
    for got, expected in zip((results[0], *grads[0]), (results[1], *grads[1]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(group_norm_linear(*tensors[:4], None), plain(*tensors[:4], None), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(('mean', 'times'), [(0, 2), (1, 2), (100, 20)])
def test_rounding_is_near_that_of_the_norm(mean, times):
    """Both lose in proportion to mean / std; the map that is not normalised loses more in its sums."""
    tensors = inputs(192, mean, torch.float32)
    expected = plain(*(tensor.double() for tensor in tensors))
    assert (group_norm_linear(*tensors) - expected).norm() < times * (plain(*tensors) - expected).norm()


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_layer_norm_in_compiled_graphs(dtype, tolerance, monkeypatch):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(size, dtype=dtype).requires_grad_() for size in ((2, 6, 5, 3), (6,), (6,)))
    results = [layer_norm(x, weight, bias)]
    pretend_compiling(monkeypatch, exporting=False)
    results.append(layer_norm(x, weight, bias))
    grads = [torch.autograd.grad(y.sin().sum(), (x, weight, bias)) for y in results]
    for got, expected in zip((results[1], *grads[1]), (results[0], *grads[0]), strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
