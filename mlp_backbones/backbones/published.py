"""Names of tensors in published files, which each family gives as ``published_names``."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

Rule = tuple[str, str | Callable[[re.Match], str]]  # pattern and replacement, as of re.sub


@dataclass(frozen=True)
class PublishedNames:
    """How the published code names and stores the tensors of a family.

    Args:
        rules: substitutions from our names to the published ones, applied in order; or a function that makes them from
            all our names of a network. Those of a classifier are ``norm.`` (the norm of the last output), ``neck.`` and
            ``head.``.
        linear: pattern of the published names of 1x1 convolutions that are stored as linear layers, ``[out, in]``.
            Default: matches none.
        constants: pattern of the published names of tensors that follow from the architecture, so that a file may lack
            them. Default: matches none.
        make_constants: makes the constants that belong to a published tensor, from its name and the tensor. Default
            None.
        flat: whether the tensors are the whole file, rather than under its key ``model``. Default False.
        others: substitutions from the published names to those of another code, one sequence for each code. Default:
            there is no other.
        optional: pattern of our names of tensors in the stem and stages that a published network may lack; they keep
            their values then. Default: matches none.
    """

    rules: Sequence[Rule] | Callable[[list[str]], Sequence[Rule]]
    linear: str = '$^'
    constants: str = '$^'
    make_constants: Callable[[str, Tensor], dict[str, Tensor]] | None = None
    flat: bool = False
    others: Sequence[Sequence[Rule]] = ()
    optional: str = '$^'


# Stages in a list `layers`, each with the downsampling at its end.
LAYERS: tuple[Rule, ...] = (
    (r'^stem\.', 'patch_embed.'),
    (r'^stages\.(\d)\.blocks\.', r'layers.\1.blocks.'),
    (r'^stages\.(\d)\.downsample\.', lambda m: f'layers.{int(m[1]) - 1}.downsample.'),
    (r'^out_norms\.(\d)\.', r'norm\1.'),
)


def network_rules(names: list[str]) -> tuple[Rule, ...]:
    """Rules of a list `network`, which counts stages and the downsamplings between them, where there are any."""
    downsampled = {int(name.split('.')[1]) for name in names if '.downsample.' in name}

    def place(match: re.Match) -> str:
        stage = int(match[1])
        return f'network.{stage + sum(k <= stage for k in downsampled) - (match[2] == "downsample")}.'

    return (
        (r'^stem\.', 'patch_embed.'),
        (r'\.mixer\.', '.attn.'),
        (r'^out_norms\.(\d)\.', lambda m: f'norm{2 * int(m[1])}.'),
        (r'^stages\.(\d)\.(blocks|downsample)\.', place),
    )
