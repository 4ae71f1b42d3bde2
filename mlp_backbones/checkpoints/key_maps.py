"""Names of tensors in the published files, from the names here. One table a family, the only place that knows them."""

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Rule = tuple[str, str | Callable[[re.Match], str]]

# `network` is a list of stages and of the downsamplings between them; `official_names` counts those that there are.
_NETWORK: tuple[Rule, ...] = (
    (r'^stem\.', 'patch_embed.'),
    (r'\.mixer\.', '.attn.'),
    (r'^out_norms\.(\d)\.', lambda m: f'norm{2 * int(m[1])}.'),
)

_LAYERS: tuple[Rule, ...] = (
    (r'^stem\.', 'patch_embed.'),
    (r'^stages\.(\d)\.blocks\.', r'layers.\1.blocks.'),
    (r'^stages\.(\d)\.downsample\.', lambda m: f'layers.{int(m[1]) - 1}.downsample.'),
    (r'^out_norms\.(\d)\.', r'norm\1.'),
)

_RULES: dict[str, tuple[Rule, ...]] = {
    'ASMLP': (*_LAYERS, (r'\.mixer\.', '.axial_shift.')),
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
    # timm's names; no dense network was published.
    'MLPMixer': (
        (r'^stages\.(\d+)\.blocks\.0\.', r'blocks.\1.'),
        (r'\.mixer\.', '.mlp_tokens.'),
        (r'\.mlp\.', '.mlp_channels.'),
        (r'^out_norms\.(\d+)\.', r'norm\1.'),
    ),
    'SparseMLP': (),  # no weights were published
    'SwinMLP': (*_LAYERS, (r'\.mixer\.', '.')),
    'VisionPermutator': _NETWORK,
    'WaveMLP': _NETWORK,
}

# Tensors of the published files that are constants of the architecture, not weights.
_CONSTANTS: dict[str, str] = {'CycleMLP': r'\.attn\.sfc_[hw]\.offset$'}

# Point-wise maps that the published code keeps as linear layers: [out, in], not [out, in, 1, 1].
_LINEAR: dict[str, str] = {
    'CycleMLP': r'\.(mlp\.fc[12]|attn\.(mlp_c|proj|reweight\.fc[12]))\.weight$',
    'ConvMLP': r'\.channel_mlp[12]\.fc[12]\.weight$',
    'MLPMixer': r'\.fc[12]\.weight$',
    'SwinMLP': r'\.(mlp\.fc[12]|reduction)\.weight$',
    'VisionPermutator': r'\.(mlp\.fc[12]|attn\.(mlp_[chw]|proj|reweight\.fc[12]))\.weight$',
}


def official_names(family: str, names: Iterable[str]) -> dict[str, str]:
    """The published names of all tensors of a backbone, e.g. ``patch_embed.proj.weight`` for ``stem.proj.weight``."""
    names = list(names)
    rules = _RULES[family]
    if rules is _NETWORK:
        downsampled = {int(name.split('.')[1]) for name in names if '.downsample.' in name}
        rules += ((r'^stages\.(\d)\.(blocks|downsample)\.', lambda m: f'network.{_position(m, downsampled)}.'),)
    official = {}
    for name in names:
        official[name] = name
        for pattern, replacement in rules:
            official[name] = re.sub(pattern, replacement, official[name])
    return official


def _position(match: re.Match, downsampled: set[int]) -> int:
    stage = int(match[1])
    return stage + sum(k <= stage for k in downsampled) - (match[2] == 'downsample')


def is_published(family: str) -> bool:
    """Whether weights of a family were published, and have names of their own."""
    return bool(_RULES[family])


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
