"""Names of tensors in the published files, from the names here. One table a family, the only place that knows them."""

import re
from collections.abc import Callable

Rule = tuple[str, str | Callable[[re.Match], str]]

_RULES: dict[str, tuple[Rule, ...]] = {
    'CycleMLP': (
        (r'^stem\.', 'patch_embed.'),
        (r'^stages\.(\d)\.blocks\.', lambda m: f'network.{2 * int(m[1])}.'),
        (r'^stages\.(\d)\.downsample\.', lambda m: f'network.{2 * int(m[1]) - 1}.'),
        (r'\.mixer\.', '.attn.'),
        (r'^out_norms\.(\d)\.', lambda m: f'norm{2 * int(m[1])}.'),
    ),
}

# Tensors of the published files that are constants of the architecture, not weights.
_CONSTANTS: dict[str, str] = {'CycleMLP': r'\.attn\.sfc_[hw]\.offset$'}


def family_of(backbone: object) -> str | None:
    """The family whose names a backbone's class, or one that it inherits from, goes by; None if it is not ours."""
    return next((c.__name__ for c in type(backbone).__mro__ if c.__name__ in _RULES), None)


def official_name(family: str, name: str) -> str:
    """The published name of a backbone's tensor, e.g. ``stem.proj.weight`` -> ``patch_embed.proj.weight``."""
    for pattern, replacement in _RULES[family]:
        name = re.sub(pattern, replacement, name)
    return name


def is_constant(family: str, official: str) -> bool:
    """Whether a published tensor is a constant that the code here computes by itself."""
    return family in _CONSTANTS and re.search(_CONSTANTS[family], official) is not None
