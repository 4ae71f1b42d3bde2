"""Loads published weights, and says exactly what was loaded."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..backbones import FAMILIES, MLPBackbone
from .identify import identify, is_own, label, last_norm, squeezed
from .key_maps import is_constant, official_names
from .read import CheckpointError, find_state_dict, read_checkpoint


@dataclass(frozen=True)
class LoadReport:
    """What :func:`load_published` did; ``str`` gives one line.

    Attributes:
        source: the file, or 'a state dict'.
        loaded: names (of the model) that got a tensor from the source.
        missing: names of the model that the source does not hold; they keep their values.
        unexpected: names of the source that the model has no place for.
        reshaped: names among ``loaded`` whose tensor was stored in another shape (a linear as a 1x1 convolution).
        nonfinite: names among ``loaded`` whose tensor holds NaN or infinite values; they are warned of, too.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    nonfinite: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing)
        return (
            f'{self.source}: loaded {len(self.loaded)} of {total} tensors ({len(self.reshaped)} reshaped); '
            f'missing: {_summary(self.missing)}; unexpected: {_summary(self.unexpected)}'
            + (f'; not finite: {_summary(self.nonfinite)}' if self.nonfinite else '')
        )


def load_published(
    model: nn.Module, source: str | Path | Mapping, prefix: str | None = None, ema: bool = False
) -> LoadReport:
    """Loads a published checkpoint, or one of our own, into a backbone or classifier.

    The model is left as it was if anything raises. The classifier's last norm goes to a backbone only where it
    plays that role, where the last stage is the only output; the published dense networks start theirs afresh too.

    Args:
        model: a backbone of this package, or a module with one as ``model.backbone``.
        source: path, http(s) address, or a dict: a state dict or what a file holds.
        prefix: load what lies below this prefix of the source. Default None: found by itself.
        ema: load the moving average of the weights (``model_ema``) that the source holds beside them. Default False.

    Returns:
        The report.

    Raises:
        CheckpointError: if the source cannot be read, holds less than the whole trunk (stem and stages) or more blocks
            than the model, or if the model is not ours or fused; the sentence says which network the source holds.
    """
    source_name = 'a state dict' if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_checkpoint(source)
    given = find_state_dict(content, prefix, ema)
    backbone = getattr(model, 'backbone', model)
    # By name: after a reload there are two classes of that name.
    names = (kind.__name__ for kind in type(backbone).__mro__ if kind.__module__.startswith('mlp_backbones.'))
    family = next((name for name in names if name in FAMILIES), None)
    if family is None:
        raise CheckpointError(
            f'{type(model).__name__} is not a backbone of this package, nor does it hold one as `backbone`: '
            f'load {source_name} with a loader of its own'
        )
    if backbone.fused:
        raise CheckpointError(
            f'this {family} was fused for inference, and no weights fit it any more: load {source_name} before fuse()'
        )
    inner = '' if backbone is model else 'backbone.'

    names = {name: name for name in backbone.state_dict()}
    if not is_own(given):
        names = official_names(family, names)
    last = len(backbone.strides) - 1
    if backbone.out_indices == (last,):
        names |= {name: key for name, key in last_norm(last, given).items() if name in names}
    names = {inner + name: key for name, key in names.items()}
    if inner:
        names |= {name: _head_name(name, given) for name in model.state_dict() if not name.startswith(inner)}

    fitting, reshaped, wrong = {}, [], []
    for name, target in model.state_dict().items():
        tensor = given.get(names[name])
        if tensor is None:
            continue
        if squeezed(tensor) != squeezed(target):
            wrong.append(f'{names[name]} is {list(tensor.shape)}, the model needs {list(target.shape)}')
            continue
        if tensor.is_floating_point() != target.is_floating_point():
            wrong.append(f'{names[name]} is of {tensor.dtype}, the model needs {target.dtype}')
            continue
        if tensor.shape != target.shape:
            reshaped.append(name)
        fitting[name] = tensor.reshape(target.shape)

    used = {names[name] for name in fitting}
    unexpected = tuple(k for k in given if k not in used and not is_constant(family, k))
    trunk = [n for n in names if n.startswith((f'{inner}stem.', f'{inner}stages.'))]
    problems = wrong + [f'it lacks {names[n]}' for n in trunk if n not in fitting]
    # A deeper variant of the same widths holds all that the model asks for, and more.
    blocks = _blocks(backbone, given) if unexpected else ()
    problems += [f'the model has no place for {k}' for k in unexpected if k in blocks]
    if any(n not in fitting for n in trunk) or len(problems) > len(wrong):
        held, model_name = identify(given), label(family, backbone.arch_name)
        holds = str(held or 'no network of this package')
        mixed_up = f'this file holds {holds}, the model is {model_name} (arch={backbone.arch_name!r}); '
        raise CheckpointError(
            f'{source_name} does not fit {model_name}: {mixed_up if holds != model_name else ""}'
            f'{sum(n in fitting for n in trunk)} of the {len(trunk)} trunk tensors fit, e.g. {problems[0]}. '
            f'Nothing was loaded; check arch and in_channels'
        )
    nonfinite = tuple(n for n, t in fitting.items() if t.is_floating_point() and not torch.isfinite(t).all())
    if nonfinite:
        warnings.warn(f'{source_name} holds NaN or infinite values in {", ".join(nonfinite)}', stacklevel=2)
    model.load_state_dict(fitting, strict=False)
    return LoadReport(
        source=source_name,
        loaded=tuple(fitting),
        missing=tuple(n for n in names if n not in fitting),
        unexpected=unexpected,
        reshaped=tuple(reshaped),
        nonfinite=nonfinite,
    )


def load_trained(model: nn.Module, source: str | Path) -> dict:
    """Loads a checkpoint of mmengine's runner into the whole model that it was saved from, safely and strictly.

    Args:
        model: a detector, segmentor or classifier, wrapped for DDP or test-time augmentation or not.
        source: path or http(s) address.

    Returns:
        What the file holds; under ``meta`` mmengine's runner keeps the classes, as ``dataset_meta``.

    Raises:
        CheckpointError: if the file cannot be read, or its tensors are not exactly those of the model.
    """
    while hasattr(model, 'module'):
        model = model.module
    content = read_checkpoint(source)
    given = find_state_dict(content, prefix='')
    wanted = model.state_dict()
    wrong = [f'lacks {name}' for name in wanted if name not in given]
    wrong += [f'holds {name}, which the model has not' for name in given if name not in wanted]
    wrong += [
        f'holds {name} as {list(tensor.shape)}, the model needs {list(wanted[name].shape)}'
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f'{source} does not fit this {type(model).__name__} in {len(wrong)} places, e.g. it {wrong[0]}; '
            f'test it with the config that it was trained with'
        )
    model.load_state_dict(given)
    return content


def _blocks(backbone: MLPBackbone, given: Mapping[str, Tensor]) -> set[str]:
    """Names in ``given`` of blocks in stages that the backbone has built, or that its arch has not."""
    identity = identify(given)
    stages = {name: int(name.split('.')[1]) for name in identity.names if '.blocks.' in name} if identity else {}
    built, all_of_arch = len(backbone.stages), len(backbone.strides)
    return {identity.names[name] for name, stage in stages.items() if not built <= stage < all_of_arch}


def _head_name(name: str, given: Mapping[str, Tensor]) -> str:
    """mmpretrain names the linear layer `head.fc`, the published files and the classifier here `head`."""
    other = re.sub(r'^head\.(fc\.)?', lambda m: 'head.' if m[1] else 'head.fc.', name)
    return other if name not in given and other in given else name


def _summary(names: Iterable[str]) -> str:
    """Names grouped by their first part: 'head (2), norm0 (2)', or 'none'."""
    counts = Counter('.'.join(name.split('.')[: 2 if name.startswith('out_norms') else 1]) for name in names)
    return ', '.join(f'{part} ({count})' for part, count in counts.items()) or 'none'
