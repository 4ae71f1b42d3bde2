"""Names of tensors in the published files, from the names here. One table a family, the only place that knows them."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

Rule = tuple[str, str | Callable[[re.Match], str]]

_NETWORK: tuple[Rule, ...] = (
    (r'^stem\.', 'patch_embed.'),
    (r'^stages\.(\d)\.blocks\.', lambda m: f'network.{2 * int(m[1])}.'),
    (r'^stages\.(\d)\.downsample\.', lambda m: f'network.{2 * int(m[1]) - 1}.'),
    (r'\.mixer\.', '.attn.'),
    (r'^out_norms\.(\d)\.', lambda m: f'norm{2 * int(m[1])}.'),
)

_RULES: dict[str, tuple[Rule, ...]] = {
    'ASMLP': (
        (r'^stem\.', 'patch_embed.'),
        (r'^stages\.(\d)\.blocks\.', r'layers.\1.blocks.'),
        (r'^stages\.(\d)\.downsample\.', lambda m: f'layers.{int(m[1]) - 1}.downsample.'),
        (r'\.mixer\.', '.axial_shift.'),
        (r'^out_norms\.(\d)\.', r'norm\1.'),
    ),
    'ConvMLP': (
        (r'^stem\.', 'tokenizer.'),
        (r'^stages\.1\.0\.blocks\.', 'conv_stages.conv_blocks.'),
        (r'^stages\.1\.1\.proj\.', 'conv_stages.downsample.'),
        (r'^stages\.2\.0\.blocks\.', 'stages.0.blocks.'),
        (r'^stages\.2\.1\.proj\.', 'stages.0.downsample_mlp.downsample.'),
        (r'^stages\.3\.0\.blocks\.', 'stages.1.blocks.'),
        (r'^stages\.3\.1\.proj\.', 'stages.1.downsample_mlp.downsample.'),
        (r'^stages\.3\.2\.blocks\.', 'stages.2.blocks.'),
    ),
    'CycleMLP': _NETWORK,
    'HireMLP': _NETWORK,
}

# Tensors of the published files that are constants of the architecture, not weights.
_CONSTANTS: dict[str, str] = {'CycleMLP': r'\.attn\.sfc_[hw]\.offset$'}

# Point-wise maps that the published code keeps as linear layers: [out, in], not [out, in, 1, 1].
_LINEAR: dict[str, str] = {
    'CycleMLP': r'\.(mlp\.fc[12]|attn\.(mlp_c|proj|reweight\.fc[12]))\.weight$',
    'ConvMLP': r'\.channel_mlp[12]\.fc[12]\.weight$',
}


def official_name(family: str, name: str) -> str:
    """The published name of a backbone's tensor, e.g. ``stem.proj.weight`` -> ``patch_embed.proj.weight``."""
    for pattern, replacement in _RULES[family]:
        name = re.sub(pattern, replacement, name)
    return name


def is_constant(family: str, official: str) -> bool:
    """Whether a published tensor is a constant that the code here computes by itself."""
    return family in _CONSTANTS and re.search(_CONSTANTS[family], official) is not None


def official_tensors(family: str, official: str, tensor: Tensor) -> dict[str, Tensor]:
    """A backbone's tensor as the published code expects it: its shape there, and the constants that go with it."""
    if re.search(_LINEAR.get(family, '$^'), official):
        tensor = tensor.flatten(1)
    tensors = {official: tensor}
    branch = re.search(r'(.*\.attn\.sfc_([hw]))\.weight$', official) if family == 'CycleMLP' else None
    if branch:
        # Deformable convolution's (row, column) offsets of each channel; `sfc_h` moves along columns.
        offset = torch.zeros(1, 2 * tensor.shape[1], 1, 1)
        offset[0, int(branch[2] == 'h') :: 2, 0, 0] = (torch.arange(tensor.shape[1]) + 1) % 3 - 1.0
        tensors[f'{branch[1]}.offset'] = offset
    return tensors
