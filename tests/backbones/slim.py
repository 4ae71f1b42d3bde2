"""A slim network of every registered family, made from its own table of variants."""

import torch
from torch import Tensor

from mlp_backbones.backbones import FAMILIES, MLPBackbone

DIMS, DEPTHS = (8, 12, 16, 20), (1, 2, 2, 1)
# Each output on its own, some left out between others, the first left out, and all.
OUT_INDICES = [(0,), (1,), (2,), (3,), (0, 3), (1, 2, 3), (0, 1, 2, 3)]


# By key of an arch; the networks have four stages.
SMALL = dict(
    dims=DIMS,
    depths=DEPTHS,
    mlp_ratios=(2, 2, 2, 2),
    stem_dim=8,
    conv_depth=1,
    heads=(2, 3, 4, 5),
    window_size=2,  # more than one window in every stage of the graphs' images: one alone would be fixed there
    expand_ratios=(2, 1, 1, 2),
    reductions=(4, 2, 2, 1),
    splits=(4, 2, 2, 1),
    widths=(2, 3, 4, 8),
    dim=8,
    depth=4,
    patch_size=4,
    native_size=16,
    segments=(4, 3, 4, 2),
    strides=(1, 2, 1),
    sparse_tokens=20,
    sparse_dim=12,
    token_experts=3,
    token_hidden=8,
    channel_experts=3,
    channel_hidden=8,
    share_sizes=(2, 4, 4, 5),
    n_div=5,  # not a divisor of all widths
)


def slim_arch(family: str) -> dict:
    """Few channels and blocks, for a family that is registered now or later."""
    kind = FAMILIES[family]

    def shrink(key: str, value: object) -> object:
        small = SMALL.get(key, value)
        return small[-len(value) :] if isinstance(value, tuple) else small

    arch = {key: shrink(key, value) for key, value in (kind.arch_defaults | next(iter(kind.variants.values()))).items()}
    if 'depths' in arch:
        arch['depths'] = tuple(max(depth, kind.min_depth) for depth in arch['depths'])
    return {**arch, 'depths': (2, 2)} if family == 'SparseMLP' else arch


def slim(family: str, **kwargs) -> MLPBackbone:
    return FAMILIES[family](slim_arch(family), **kwargs)


def loss_of(outputs: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on every output differently."""
    return sum((out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum() for out in outputs)
