"""Sampling along one axis at positions that come from data, linear between the values of a map."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .capture import fx_leaf
from .tensors import memory_format


@fx_leaf
def sample_along(x: Tensor, offset: Tensor, dim: int, dilation: int = 1) -> Tensor:
    """Read each value an offset of its own away, along one axis.

    ``y[b, c, p] = x[b, c, p + offset[b, c // S, p]]`` along ``dim``, ``S`` channels in a row sharing an offset. Between
    two positions the value is linear; outside the map it is zero, so that it fades over the first position outside.
    Gradients flow into the offsets. Source: ActiveMLP, arXiv 2203.06108, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        offset: ``[B, C / S, H, W]``, in positions. Places are computed in float32 at least.
        dim: the axis, 2 (H) or 3 (W).
        dilation: positions between those that count as neighbours: an offset of 1 reads this far away, and a value
            between two of them is linear. Default 1.

    Returns:
        ``[B, C, H, W]`` in the dtype of ``x``, in channels_last where ``x`` is, or contiguous.

    Raises:
        ValueError: if the sizes do not go together, ``dim`` is not 2 or 3, or ``dilation`` is below 1.
    """
    if x.ndim != 4 or offset.ndim != 4 or dim not in (2, 3) or dilation < 1 or x.shape[1] % offset.shape[1]:
        raise ValueError(
            f'sample_along takes x [B, C, H, W], offset [B, K, H, W] of a K that divides C, dim 2 (H) or 3 (W), and '
            f'dilation >= 1; got x {list(x.shape)}, offset {list(offset.shape)}, dim={dim} and dilation={dilation}'
        )
    groups = (offset.shape[1], -1)
    if memory_format(x) == torch.channels_last:
        # In this order of axes the result is in channels_last.
        x, offset = x.permute(0, 2, 3, 1).unflatten(3, groups), offset.permute(0, 2, 3, 1)[..., None]
        return _sample(x, offset, dim - 1, dilation).flatten(3).permute(0, 3, 1, 2)
    return _sample(x.unflatten(1, groups), offset[:, :, None], dim + 1, dilation).flatten(1, 2)


def _sample(x: Tensor, offset: Tensor, dim: int, dilation: int) -> Tensor:
    """Sample five axes, of which the one that ``offset`` has only one of shares it."""
    length, dtype = x.shape[dim], torch.promote_types(offset.dtype, torch.float32)
    shape = [1] * x.ndim
    shape[dim] = -1
    position = torch.arange(length, device=x.device).view(shape)
    # Counted among the positions that are neighbours of each other.
    place = (position // dilation if dilation > 1 else position).to(dtype) + offset
    # From -1 back and from the end on, all is zero; a tensor, as exporters refuse to clamp by a symbol.
    end = torch.scalar_tensor((length + dilation - 1) // dilation, dtype=dtype, device=x.device)
    place = torch.minimum(place.clamp(min=-1), end)
    before = place.detach().floor()
    fraction = (place - before).to(x.dtype)
    # A place that is not a number stays one in `fraction`; as an index it would be read outside of memory.
    index = (torch.nan_to_num(before, nan=-1.0) + 1).long()
    if dilation > 1:
        index = index * dilation + position % dilation
    index = index.expand_as(x)
    padding = [0] * (2 * x.ndim)
    padding[2 * (x.ndim - 1 - dim) : 2 * (x.ndim - dim)] = dilation, 3 * dilation - 1
    padded = F.pad(x, padding)
    first, second = padded.gather(dim, index), padded.gather(dim, index + dilation)
    return first + (second - first) * fraction
