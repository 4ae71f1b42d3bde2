import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_backbones.ops import fold_regions, unfold_regions


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
        patch.setattr(torch.compiler, 'is_compiling', lambda: True)
        assert torch.equal(fold_regions(x, region_size, step, dim), folded)
        assert torch.equal(unfold_regions(folded, region_size, step, dim, x.shape[dim]), x)
        assert torch.equal(fold_regions(x, region_size, step, dim), folded)
        assert torch.equal(unfold_regions(folded, region_size, step, dim, x.shape[dim]), x)


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
