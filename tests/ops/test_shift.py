import re
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_backbones.ops import axial_shift, cycle_linear, cycle_shift, memory_format, shift_channels
from mlp_backbones.ops import shift as shift_module
from tests.ops.compiling import pretend_compiling


def cycle_linear_by_index(x, weight, bias, step_size, dim, dilation):
    """The spec's formula, one element at a time: y[o, p] = b[o] + sum_c W[o, c] x[c, p + d(c)], zero outside."""
    batch, channels, height, width = x.shape
    rows = []
    for b in range(batch):
        for o in range(weight.shape[0]):
            for i in range(height):
                for j in range(width):
                    total = bias[o]
                    for c in range(channels):
                        offset = ((c + step_size // 2) % step_size - step_size // 2) * dilation
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
    dilation=st.integers(1, 3),
)
def test_cycle_linear_is_the_formula_forward_and_backward(size, out, step_size, dim, dilation):
    def tensor(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    inputs = tensor(*size), tensor(out, size[1], 1, 1), tensor(out)
    got = cycle_linear(*inputs, step_size, dim, dilation)
    expected = cycle_linear_by_index(*inputs, step_size, dim, dilation)
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
    with pytest.raises(ValueError, match=f'{len(shape)} dimensions, step_size={step}, dilation=1 and dim={dim}'):
        cycle_shift(torch.zeros(shape), step, dim)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 13), st.integers(1, 9), st.integers(1, 9)),
    shift_size=st.sampled_from([1, 3, 5, 7]),
    dilation=st.integers(1, 3),
    dim=st.sampled_from([2, 3]),
)
def test_axial_shift_is_pad_and_roll_forward_and_backward(size, shift_size, dilation, dim):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    reach = shift_size // 2 * dilation
    padded = torch.nn.functional.pad(x, (reach,) * 4)
    groups = torch.split(padded, -(-size[1] // shift_size), 1)
    rolled = torch.cat([torch.roll(g, (i - shift_size // 2) * dilation, dim) for i, g in enumerate(groups)], 1)
    expected = rolled[:, :, reach : reach + size[2], reach : reach + size[3]]
    got = axial_shift(x, shift_size, dim, dilation)
    assert torch.equal(got, expected)
    direction = torch.randn_like(got)
    assert torch.equal(*(torch.autograd.grad(y, x, direction)[0] for y in (got, expected)))


def test_groups_of_the_axial_shift_move_toward_larger_indices():
    x = torch.arange(1.0, 4.0).expand(1, 3, 1, 3)
    assert axial_shift(x, 3, dim=3)[0, :, 0].tolist() == [[2, 3, 0], [1, 2, 3], [0, 1, 2]]
    # The last group may be smaller, or empty: groups of 2, 2, 2, 1 and 0 channels.
    offsets = axial_shift(torch.eye(5)[2].expand(1, 7, 1, 5), 5, dim=3)[0, :, 0].argmax(1) - 2
    assert offsets.tolist() == [-2, -2, -1, -1, 0, 0, 1]


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 5), st.integers(1, 5)),
    steps=st.sampled_from([1, 3, 5]),
    dim=st.sampled_from([2, 3]),
    dilation=st.integers(1, 3),
    exporting=st.booleans(),
)
def test_the_form_for_compilers_and_exporters_is_the_same(size, steps, dim, dilation, exporting):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    for shift in (cycle_shift, axial_shift):
        expected = shift(x, steps, dim, dilation)
        with pytest.MonkeyPatch.context() as patch:
            pretend_compiling(patch, exporting)
            got = shift(x, steps, dim, dilation)
            with torch.no_grad():
                assert torch.equal(shift(x, steps, dim, dilation), expected)
        assert torch.equal(got, expected)
        direction = torch.randn_like(got)
        assert torch.equal(*(torch.autograd.grad(y, x, direction)[0] for y in (got, expected)))


@pytest.mark.parametrize(('shift_size', 'dilation', 'dim'), [(4, 1, 2), (-1, 1, 2), (3, 0, 2), (3, 1, 1)])
def test_bad_input_of_the_axial_shift_is_named(shift_size, dilation, dim):
    with pytest.raises(ValueError, match=f'shift_size={shift_size}, dilation={dilation} and dim={dim}'):
        axial_shift(torch.zeros(1, 3, 4, 4), shift_size, dim, dilation)


def shift_by_index(x, shifts, wrap):
    """The operator's formula, one element at a time."""
    batch, channels, height, width = x.shape
    offset = {c: offsets for group, *offsets in shifts for c in range(channels)[group]}
    values = []
    for b, c, i, j in product(range(batch), range(channels), range(height), range(width)):
        p, q = i + offset[c][0], j + offset[c][1]
        inside = wrap or (0 <= p < height and 0 <= q < width)
        values.append(x[b, c, p % height, q % width] if inside else 0 * x[0, 0, 0, 0])
    return torch.stack(values).view(x.shape)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)),
    offsets=st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=1, max_size=20),
    interleaved=st.booleans(),
    wrap=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_shift_of_channels_is_the_formula_in_every_form(size, offsets, interleaved, wrap, layout):
    """Copies of slices, one gather for many groups, and the form for graphs; groups may be empty."""
    n = len(offsets)
    width = -(-size[1] // n)
    groups = [slice(i, None, n) if interleaved else slice(i * width, (i + 1) * width) for i in range(n)]
    shifts = tuple((group, *offset) for group, offset in zip(groups, offsets, strict=True))
    x = torch.randn(size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    expected, direction = shift_by_index(x, shifts, wrap), torch.randn(size, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(expected, x, direction)
    for copies, captured in product((20, 0), (None, 'traced', 'compiled')):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shift_module, 'MAX_COPIES', copies)
            patch.setattr(shift_module, 'is_captured', lambda captured=captured: captured is not None)
            if captured == 'compiled':
                pretend_compiling(patch, exporting=False)
            got = shift_channels(x, shifts, wrap)
        assert torch.equal(got, expected)
        assert captured or memory_format(got) == memory_format(x)
        torch.testing.assert_close(torch.autograd.grad(got, x, direction)[0], gradient, rtol=1e-14, atol=1e-14)


def test_rolls_are_those_of_torch():
    x = torch.randn(2, 6, 5, 4)
    rolled = shift_channels(x, ((slice(0, 2), -2, 0), (slice(2, 4), 0, 9), (slice(4, 6), 1, -1)), wrap=True)
    parts = x[:, :2].roll(2, 2), x[:, 2:4].roll(-9, 3), x[:, 4:].roll((-1, 1), (2, 3))
    assert torch.equal(rolled, torch.cat(parts, 1))


@pytest.mark.parametrize('shape', [(3, 4, 4), (1, 3, 4, 4)])
def test_groups_that_miss_a_channel_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f'got x {list(shape)} and groups [slice(0, 2, None)]')):
        shift_channels(torch.zeros(shape), ((slice(0, 2), 0, 1),))
