"""Sampling at positions from data: against its formula, central differences and a deformable convolution."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import deform_conv2d

from mlp_backbones.ops import sample_along


def sample_by_index(x, offset, dim, dilation=1):
    """The formula, one element at a time."""
    batch, channels, height, width = x.shape
    shared = channels // offset.shape[1]
    values = []
    for b, c, i, j in product(range(batch), range(channels), range(height), range(width)):
        place = (i, j)[dim - 2] // dilation + offset[b, c // shared, i, j]
        total = 0 * place * x[b, c, i, j]
        low = math.floor(place.item())
        for p in (low, low + 1):
            at = p * dilation + (i, j)[dim - 2] % dilation
            row, column = (at, j) if dim == 2 else (i, at)
            if 0 <= row < height and 0 <= column < width:
                total = total + x[b, c, row, column] * (1 - (place - p).abs())
        values.append(total)
    return torch.stack(values).view(x.shape)


def inputs(size, shared, scale, layout=torch.contiguous_format):
    batch, groups, height, width = size
    x = torch.randn(batch, groups * shared, height, width, dtype=torch.float64)
    offset = torch.randn(size, dtype=torch.float64) * scale
    return [tensor.contiguous(memory_format=layout).requires_grad_() for tensor in (x, offset)]


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    shared=st.integers(1, 3),
    scale=st.sampled_from([0.3, 3.0, 30.0]),
    dim=st.sampled_from([2, 3]),
    dilation=st.integers(1, 3),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_sampling_is_the_formula_forward_and_backward(size, shared, scale, dim, dilation, layout):
    x, offset = inputs(size, shared, scale, layout)
    got, expected = sample_along(x, offset, dim, dilation), sample_by_index(x, offset, dim, dilation)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert got.is_contiguous(memory_format=layout)
    direction = torch.randn_like(got)
    gradients = (torch.autograd.grad(y, (x, offset), direction) for y in (got, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('dim', [2, 3])
def test_gradients_are_those_of_central_differences(dim):
    arguments = inputs((2, 2, 4, 5), 2, 2.0)
    assert torch.autograd.gradcheck(lambda x, offset: sample_along(x, offset, dim), arguments)
    assert torch.autograd.gradgradcheck(lambda x, offset: sample_along(x, offset, dim), arguments)


@pytest.mark.parametrize('dim', [2, 3])
def test_sampling_and_a_linear_map_are_a_deformable_convolution(dim):
    """As the published code computes it: offsets (row, column) of every channel, one of them 0."""
    x, offset = inputs((2, 6, 9, 11), 1, 4.0)
    weight = torch.randn(5, 6, 1, 1, dtype=torch.float64)
    both = torch.zeros(2, 6, 2, 9, 11, dtype=torch.float64)
    both[:, :, dim - 2] = offset
    expected = deform_conv2d(x, both.flatten(1, 2), weight)
    got = torch.nn.functional.conv2d(sample_along(x, offset, dim), weight)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def test_whole_offsets_are_shifts_and_values_fade_outside():
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)

    def sample(offset):
        return sample_along(x, torch.full((1, 1, 1, 3), offset), 3).flatten().tolist()

    assert sample(1.0) == [2, 3, 0] and sample(-1.0) == [0, 1, 2] and sample(0.0) == [1, 2, 3]
    assert sample(0.25) == [1.25, 2.25, 2.25] and sample(-0.25) == [0.75, 1.75, 2.75]
    assert sample(1e30) == sample(-torch.inf) == [0, 0, 0]


def test_an_offset_that_is_not_a_number_stays_one_and_reads_no_other_memory():
    x = torch.ones(1, 2, 2, 3)
    offset = torch.zeros(1, 2, 2, 3)
    offset[0, 1, 1, 1] = torch.nan
    y = sample_along(x, offset, 3)
    assert y.isnan().sum() == 1 and y[0, 1, 1, 1].isnan() and torch.nan_to_num(y, nan=1.0).eq(1).all()


def test_places_of_half_precision_are_exact_enough():
    x = torch.arange(300.0).view(1, 1, 1, 300)
    offset = torch.full((1, 1, 1, 300), 0.25, dtype=torch.bfloat16)
    assert torch.equal(sample_along(x, offset, 3)[..., :-1], x[..., :-1] + 0.25)
    assert sample_along(x.bfloat16(), offset, 3).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ('x', 'offset', 'dim'),
    [((2, 4, 4), (1, 2, 4, 4), 2), ((1, 4, 4, 4), (1, 3, 4, 4), 2), ((1, 4, 4, 4), (1, 2, 4, 4), 1)],
)
def test_sizes_that_do_not_go_together_are_named(x, offset, dim):
    with pytest.raises(ValueError, match=rf'got x \[{x[0]}, {x[1]}, .*offset \[1, .* dim={dim} and '):
        sample_along(torch.zeros(x), torch.zeros(offset), dim)
