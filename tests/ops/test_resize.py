"""Bicubic interpolation by products is torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mlp_backbones.ops.resize import bicubic_matrix, interpolate_axes, resize_bicubic
from tests.ops.compiling import pretend_compiling

SIDES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(0, 2), st.integers(1, 3), SIDES, SIDES), size=st.tuples(SIDES, SIDES))
def test_products_along_the_axes_are_torchs_interpolation(shape, size):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    rows, columns = (bicubic_matrix(old, new, x) for old, new in zip(shape[2:], size, strict=True))
    got = interpolate_axes(x.permute(0, 2, 3, 1), rows, columns).permute(0, 3, 1, 2)
    expected = F.interpolate(x, size, mode='bicubic') if shape[0] else x.new_empty(*shape[:2], *size)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    if shape[0]:
        grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (got, expected)]
        torch.testing.assert_close(*grads, rtol=1e-11, atol=1e-11)


def test_products_resize_where_a_map_grows_and_in_graphs(monkeypatch):
    x = torch.randn(2, 3, 8, 10)
    grown, shrunk = (F.interpolate(x, size, mode='bicubic') for size in ((16, 9), (4, 5)))
    monkeypatch.setattr(F, 'interpolate', None)
    torch.testing.assert_close(resize_bicubic(x, (16, 9)), grown)
    pretend_compiling(monkeypatch, exporting=False)
    torch.testing.assert_close(resize_bicubic(x, (4, 5)), shrunk)


@pytest.mark.parametrize('size', [(4, 5), (8, 10), (20, 9), (3, 40)])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('format_', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('captured', [False, True])
def test_resizing_in_every_precision_and_layout(size, dtype, format_, captured, monkeypatch):
    x = torch.randn(2, 3, 8, 10, dtype=dtype).to(memory_format=format_)
    expected = F.interpolate(x, size, mode='bicubic')
    if captured:
        pretend_compiling(monkeypatch, exporting=False)
    with torch.autocast('cpu', torch.bfloat16):  # changes nothing
        torch.testing.assert_close(resize_bicubic(x, size), expected)


@pytest.mark.slow
@pytest.mark.parametrize('dynamic', [False, True])
def test_compiled_resizing(dynamic):
    compiled = torch.compile(resize_bicubic, fullgraph=True, dynamic=dynamic)
    x = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    torch.testing.assert_close(compiled(x, (13, 5)), F.interpolate(x, (13, 5), mode='bicubic'))
