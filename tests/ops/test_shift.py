import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_backbones.ops import cycle_linear, cycle_shift


def cycle_linear_by_index(x, weight, bias, step_size, dim):
    """The spec's formula, one element at a time: y[o, p] = b[o] + sum_c W[o, c] x[c, p + d(c)], zero outside."""
    batch, channels, height, width = x.shape
    rows = []
    for b in range(batch):
        for o in range(weight.shape[0]):
            for i in range(height):
                for j in range(width):
                    total = bias[o]
                    for c in range(channels):
                        offset = (c + step_size // 2) % step_size - step_size // 2
                        p, q = (i + offset, j) if dim == 2 else (i, j + offset)
                        if 0 <= p < height and 0 <= q < width:
                            total = total + weight[o, c, 0, 0] * x[b, c, p, q]
                    rows.append(total)
    return torch.stack(rows).view(batch, weight.shape[0], height, width)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4)),
    out=st.integers(1, 3),
    step_size=st.integers(1, 5),
    dim=st.sampled_from([2, 3]),
)
def test_cycle_linear_is_the_formula_forward_and_backward(size, out, step_size, dim):
    def tensor(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    inputs = tensor(*size), tensor(out, size[1], 1, 1), tensor(out)
    got = cycle_linear(*inputs, step_size, dim)
    expected = cycle_linear_by_index(*inputs, step_size, dim)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad(got, inputs, direction), torch.autograd.grad(expected, inputs, direction), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_offsets_of_step_3_are_0_1_minus_1():
    x = torch.arange(1.0, 4.0).expand(1, 3, 1, 3)
    y = cycle_shift(x, 3, dim=3)
    assert y[0, :, 0].tolist() == [[1, 2, 3], [2, 3, 0], [0, 1, 2]]


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_shift_keeps_values_dtype_and_memory_format(layout):
    x = torch.randn(2, 7, 5, 6).to(torch.bfloat16).contiguous(memory_format=layout)
    y = cycle_shift(x, 3, 2)
    assert y.dtype == x.dtype and y.is_contiguous(memory_format=layout)
    assert torch.equal(y, cycle_shift(x.contiguous(), 3, 2))


def test_gradients_of_gradients():
    x = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cycle_shift(x, 3, 3), x)
    assert torch.autograd.gradgradcheck(lambda x: cycle_shift(x**2, 3, 2), x)


def test_shift_does_not_spread_infinities():
    x = torch.zeros(1, 3, 1, 3)
    x[0, 0, 0, 1] = torch.inf
    assert torch.isfinite(cycle_shift(x, 3, 3)).sum() == 8


@pytest.mark.parametrize(('shape', 'step', 'dim'), [((3, 4, 4), 3, 2), ((1, 3, 4, 4), 0, 2), ((1, 3, 4, 4), 3, 1)])
def test_bad_input_is_named(shape, step, dim):
    with pytest.raises(ValueError, match=f'{len(shape)} dimensions, step_size={step} and dim={dim}'):
        cycle_shift(torch.zeros(shape), step, dim)
