import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mlp_backbones.ops import cycle_linear, gather_neighbours, image_linear, neighbour_weights
from tests.ops.compiling import pretend_compiling


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
    step_size=st.integers(1, 6),
    dim=st.sampled_from([2, 3, None]),
    dilation=st.integers(1, 3),
)
def test_product_with_gathered_neighbours_is_the_cycle_layer(size, step_size, dim, dilation):
    x = torch.randn(*size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, size[1], 1, 1, dtype=torch.float64, requires_grad=True)
    got = F.conv2d(gather_neighbours(x, step_size, dilation), neighbour_weights(weight, step_size, dim))
    expected = F.conv2d(x, weight) if dim is None else cycle_linear(x, weight, None, step_size, dim, dilation)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        pretend_compiling(patch)
        graph = F.conv2d(gather_neighbours(x, step_size, dilation), neighbour_weights(weight, step_size, dim))
    torch.testing.assert_close(graph, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(got)
    wanted, *gradients = (torch.autograd.grad(y, (x, weight), direction) for y in (expected, got, graph))
    for gradient in gradients:
        torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)


def test_each_image_has_a_map_of_its_own_in_every_form():
    x, weight, bias = (torch.randn(s, dtype=torch.float64) for s in ((3, 4, 2, 5), (3, 6, 4), (3, 6)))
    expected = torch.einsum('bchw,boc->bohw', x, weight) + bias[..., None, None]
    torch.testing.assert_close(image_linear(x, weight, bias), expected)
    for exporting in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            pretend_compiling(patch, exporting)
            torch.testing.assert_close(image_linear(x, weight, bias), expected)


@pytest.mark.parametrize('step_size', [1, 2, 3, 5])
def test_first_and_second_derivatives(step_size):
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: gather_neighbours(x, step_size), x)
    assert torch.autograd.gradgradcheck(lambda x: gather_neighbours(x, step_size), x)


def test_width_is_what_the_docstring_says():
    assert gather_neighbours(torch.zeros(1, 6, 2, 2), 3).shape == (1, 14, 2, 2)
    assert gather_neighbours(torch.zeros(1, 6, 2, 2), 1).shape == (1, 6, 2, 2)
