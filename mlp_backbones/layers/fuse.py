"""Folding of BatchNorm, in inference one scale and one offset per channel, into neighbouring convolutions."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .affine import Affine
from .plain import is_plain, is_watched


def fold_norm_after(conv: Any, norm: Any) -> nn.Module:
    """Move a BatchNorm that follows ``conv`` into it, and return an Identity in its place.

    The norm itself is returned where it is of another kind or has no running statistics, or where one of the layers has
    hooks, is parametrized or was replaced.
    """
    if not _is_constant(norm) or not is_plain(conv, nn.Conv2d):
        return norm
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
    return nn.Identity()


def fold_norm_before(norm: Any, *convs: Any) -> nn.Module:
    """Move a BatchNorm into the 1x1 convolutions that read it; see :func:`fold_norm_after`.

    Convolutions of regions read each channel several times.
    """
    if not _is_constant(norm) or not all(is_plain(conv, nn.Conv2d) for conv in convs):
        return norm
    scale, offset = _scale_and_offset(norm)
    for conv in convs:
        neighbours = conv.in_channels // norm.num_features
        bias = torch.mv(conv.weight.flatten(1), offset.repeat_interleave(neighbours))
        conv.bias = nn.Parameter(bias if conv.bias is None else conv.bias + bias, requires_grad=False)
        conv.weight = nn.Parameter(
            conv.weight * scale.repeat_interleave(neighbours).view(-1, 1, 1), requires_grad=False
        )
    return nn.Identity()


def fold_norm_alone(norm: Any) -> nn.Module:
    """Turn a BatchNorm that no convolution can take into its scale and offset.

    Returns:
        An :class:`Affine` in its place, or the norm itself where it is of another kind, has no running statistics,
        has hooks or is parametrized.
    """
    if not _is_constant(norm):
        return norm
    scale, offset = _scale_and_offset(norm)
    affine = Affine(norm.num_features)
    affine.alpha, affine.beta = (nn.Parameter(vector, requires_grad=False) for vector in (scale, offset))
    return affine


def _scale_and_offset(norm: Any) -> tuple[Tensor, Tensor]:
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = norm.weight * scale
    return scale, -norm.running_mean * scale + (norm.bias if norm.affine else 0)


def _is_constant(norm: Any) -> bool:
    # Not by exact class: mmengine's revert_sync_batchnorm makes BatchNorms of a class of its own.
    own = isinstance(norm, _BatchNorm) and type(norm).forward in (_BatchNorm.forward, nn.SyncBatchNorm.forward)
    return own and not is_watched(norm) and not hasattr(norm, 'parametrizations') and norm.running_mean is not None
