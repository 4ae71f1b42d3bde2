import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mlp_backbones.ops import add_unfolded, average_of_unfolded, fold_regions, region_linear, unfold_regions
from tests.ops.compiling import pretend_compiling


def fold_step_by_step(x, region_size, step, dim):
    """The published recipe in its own steps: roll, pad around the circle, fold channel-major."""
    x = torch.roll(x, step, dim)
    x = torch.cat([x] * (1 + region_size), dim).narrow(dim, 0, -(-x.shape[dim] // region_size) * region_size)
    if dim == 2:
        return torch.cat([x[:, c : c + 1, k::region_size] for c in range(x.shape[1]) for k in range(region_size)], 1)
    return torch.cat([x[:, c : c + 1, :, k::region_size] for c in range(x.shape[1]) for k in range(region_size)], 1)


sizes = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
arguments = dict(size=sizes, region_size=st.integers(1, 5), step=st.integers(0, 11), dim=st.sampled_from([2, 3]))


@settings(max_examples=60, deadline=None)
@given(**arguments)
def test_fold_is_the_recipe_forward_and_backward(size, region_size, step, dim):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    got, expected = fold_regions(x, region_size, step, dim), fold_step_by_step(x, region_size, step, dim)
    assert torch.equal(got, expected)
    direction = torch.randn_like(got)
    grads = [torch.autograd.grad(y, x, direction)[0] for y in (got, expected)]
    torch.testing.assert_close(*grads)


formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


@settings(max_examples=60, deadline=None)
@given(**arguments, first=st.booleans(), format_=formats)
def test_what_a_branch_adds_and_its_average_are_of_the_unfolded_map(size, region_size, step, dim, first, format_):
    channels = 3
    hidden = torch.randn(size, dtype=torch.float64).to(memory_format=format_)
    hidden = fold_regions(hidden, region_size, step, dim, first)
    weight = torch.randn(channels * region_size, hidden.shape[1], 1, 1, dtype=torch.float64)
    bias = torch.randn(channels * region_size, dtype=torch.float64)
    folded = F.conv2d(hidden, weight, bias)
    expected = unfold_regions(folded, region_size, step, dim, size[dim], first)
    average = average_of_unfolded(hidden, weight, bias, region_size, dim, size[dim], first)
    torch.testing.assert_close(average, expected.mean((2, 3)))
    y, scale = torch.randn_like(expected), torch.randn(size[0], channels, 1, 1, dtype=torch.float64)
    before = y.clone()
    add_unfolded(y, folded, scale, region_size, step, dim, first)
    torch.testing.assert_close(y, before + scale * expected)
    with pytest.MonkeyPatch.context() as patch:
        pretend_compiling(patch)
        torch.testing.assert_close(add_unfolded(before, folded, scale, region_size, step, dim, first), y)


@settings(max_examples=60, deadline=None)
@given(**arguments, format_=formats)
def test_neighbours_first_is_another_order_of_the_channels(size, region_size, step, dim, format_):
    x = torch.randn(size, dtype=torch.float64).to(memory_format=format_).requires_grad_()
    order = torch.arange(size[1] * region_size).view(-1, region_size).T.flatten()
    expected = fold_regions(x, region_size, step, dim)[:, order]
    got = fold_regions(x, region_size, step, dim, neighbours_first=True)
    assert torch.equal(got, expected)
    direction = torch.randn_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, direction)[0] for y in (got, expected)))
    assert torch.equal(unfold_regions(got, region_size, step, dim, size[dim], neighbours_first=True), x)


@settings(max_examples=60, deadline=None)
@given(**arguments)
def test_unfold_takes_fold_back(size, region_size, step, dim):
    x = torch.randn(size, dtype=torch.float64, requires_grad=True)
    folded = fold_regions(x, region_size, step, dim)
    assert torch.equal(unfold_regions(folded, region_size, step, dim, x.shape[dim]), x)
    # What padding holds is cropped, and gets no gradient.
    y = torch.randn_like(folded).requires_grad_()
    unfold_regions(y, region_size, step, dim, x.shape[dim]).sum().backward()
    assert int(y.grad.sum()) == x.numel()


@settings(max_examples=60, deadline=None)
@given(**arguments)
def test_the_form_for_exporters_is_the_same(size, region_size, step, dim):
    x = torch.randn(size, dtype=torch.float64)
    folded = fold_regions(x, region_size, step, dim)
    with pytest.MonkeyPatch.context() as patch:
        pretend_compiling(patch)
        assert torch.equal(fold_regions(x, region_size, step, dim), folded)
        assert torch.equal(unfold_regions(folded, region_size, step, dim, x.shape[dim]), x)
        for first in (False, True):
            weight = torch.randn(2, folded.shape[1], 1, 1, dtype=torch.float64)
            got = region_linear(x, weight, None, region_size, step, dim, first)
            torch.testing.assert_close(got, F.conv2d(fold_regions(x, region_size, step, dim, first), weight))


@pytest.mark.parametrize('format_', [torch.contiguous_format, torch.channels_last])
def test_the_layout_stays(format_):
    x = torch.randn(2, 4, 6, 8).to(memory_format=format_)
    folded = fold_regions(x, 3, 1, 2)
    assert folded.is_contiguous(memory_format=format_)
    assert unfold_regions(folded, 3, 1, 2, 6).is_contiguous(memory_format=format_)


@pytest.mark.parametrize(
    ('shape', 'region', 'step', 'dim'),
    [((3, 4, 4), 2, 0, 2), ((1, 4, 4, 4), 0, 0, 2), ((1, 4, 4, 4), 2, -1, 2), ((1, 4, 4, 4), 2, 0, 1)],
)
def test_bad_input_is_named(shape, region, step, dim):
    words = f'{len(shape)} dimensions, region_size={region}, step={step} and dim={dim}'
    with pytest.raises(ValueError, match=words):
        fold_regions(torch.zeros(shape), region, step, dim)
    with pytest.raises(ValueError, match=words):
        unfold_regions(torch.zeros(shape), region, step, dim, 4)


@pytest.mark.parametrize(('channels', 'length'), [(4, 10), (4, 2), (3, 4)])
def test_what_was_not_folded_is_not_unfolded(channels, length):
    words = rf'got x \[1, {channels}, 2, 3\], region_size=2, dim=2 and length={length}'
    with pytest.raises(ValueError, match=words):
        unfold_regions(torch.zeros(1, channels, 2, 3), 2, 0, 2, length)
