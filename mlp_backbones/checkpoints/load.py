"""Load weights into models, and report exactly what was loaded."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, printable
from ..registry import FAMILIES
from .identify import identify, is_own, label, last_norm, squeezed
from .key_maps import is_constant, official_names
from .read import read_checkpoint
from .state_dict import find_state_dict, is_finite, list_names, unwrap


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
        adapted: names among ``loaded`` that were made for another number of image channels.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    nonfinite: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing)
        return (
            f'{printable(self.source, 500)}: loaded {len(self.loaded)} of {total} tensors '
            f'({len(self.reshaped)} reshaped); missing: {_summary(self.missing)}; '
            f'unexpected: {_summary(self.unexpected)}'
            + (f'; not finite: {_summary(self.nonfinite)}' if self.nonfinite else '')
            + (f'; adapted from RGB to the channels of the images: {list_names(self.adapted)}' if self.adapted else '')
        )


def load_published(
    model: nn.Module,
    source: str | Path | Mapping,
    prefix: str | None = None,
    ema: bool = False,
    adapt_channels: bool = False,
) -> LoadReport:
    """Loads a published checkpoint, or one of our own, into a backbone or classifier.

    The model is left as it was if anything raises. The classifier's last norm goes to a backbone only where it
    plays that role, where the last stage is the only output; the published dense networks start theirs afresh too.

    Args:
        model: a backbone of this package, or a module with one as ``model.backbone``.
        source: path, http(s) address, or a dict: a state dict or what a file holds.
        prefix: load what lies below this prefix of the source. Default None: found by itself.
        ema: load the moving average of the weights (``model_ema``) that the source holds beside them. Default False.
        adapt_channels: load weights of RGB images into a model of another ``in_channels``, as timm does: one channel
            gets the sum over RGB, others get R, G, B, R, ... in turn, scaled by 3 / ``in_channels``. Default False.

    Returns:
        The report.

    Raises:
        CheckpointError: if the source cannot be read, holds less than the whole trunk (stem and stages) or more blocks
            than the model, two names that are one without their wrappers, or networks below several prefixes, or if
            the model is not ours or fused; the sentence names the network that the source holds.
    """
    source_name = 'a state dict' if isinstance(source, Mapping) else printable(source, 500)
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

    fitting, reshaped, adapted, wrong = {}, [], [], []
    for name, target in model.state_dict().items():
        tensor = given.get(names[name])
        if tensor is None:
            continue
        if _is_rgb_stem(name.removeprefix(inner), tensor, target):
            if not adapt_channels:
                wrong.append(
                    f'{names[name]} is of {tensor.shape[1]} channels, the model has in_channels={target.shape[1]}: '
                    f'set adapt_channels=True, of init_cfg or load_published, to adapt it'
                )
                continue
            tensor = _adapt_channels(tensor, target.shape[1])
            adapted.append(name)
        if misfit := _misfit(tensor, target, squeezed):
            wrong.append(f'{printable(names[name])} is {misfit}')
            continue
        if tensor.shape != target.shape:
            reshaped.append(name)
        fitting[name] = tensor.reshape(target.shape).to(target.dtype)

    used = {names[name] for name in fitting}
    unexpected = tuple(k for k in given if k not in used and not is_constant(family, k))
    trunk = [n for n in names if n.startswith((f'{inner}stem.', f'{inner}stages.'))]
    problems = wrong + [f'it lacks {names[n]}' for n in trunk if n not in fitting]
    # A deeper variant of the same widths holds all that the model asks for, and more.
    blocks = _blocks(backbone, given) if unexpected else ()
    problems += [f'the model has no place for {printable(k)}' for k in unexpected if k in blocks]
    if any(n not in fitting for n in trunk) or len(problems) > len(wrong):
        held, model_name = identify(given), label(family, backbone.arch_name)
        holds = str(held or 'no network of this package')
        mixed_up = f'this file holds {holds}, the model is {model_name} (arch={backbone.arch_name!r}); '
        raise CheckpointError(
            f'{source_name} does not fit {model_name}: {mixed_up if holds != model_name else ""}'
            f'{sum(n in fitting for n in trunk)} of the {len(trunk)} trunk tensors fit, e.g. {problems[0]}. '
            f'Nothing was loaded; check arch and in_channels'
        )
    nonfinite = _warn_of_nonfinite(source_name, fitting)
    _load_all_or_nothing(model, fitting, source_name)
    return LoadReport(
        source=source_name,
        loaded=tuple(fitting),
        missing=tuple(n for n in names if n not in fitting),
        unexpected=unexpected,
        reshaped=tuple(reshaped),
        nonfinite=nonfinite,
        adapted=tuple(adapted),
    )


def load_trained(model: nn.Module, source: str | Path) -> dict:
    """Loads a checkpoint of mmengine's runner into the whole model that it was saved from, safely and strictly.

    Args:
        model: a detector, segmentor or classifier, wrapped for DDP or test-time augmentation or not.
        source: path or http(s) address.

    Returns:
        What the file holds; under ``meta`` mmengine's runner keeps the classes, as ``dataset_meta``.

    Raises:
        CheckpointError: if the file cannot be read, or its tensors are not exactly those of the model, in names,
            shapes and kinds of numbers; the model then keeps its values.
    """
    while inner := getattr(model, 'module', None) or getattr(model, '_orig_mod', None):
        model = inner
    source_name = printable(source, 500)
    content = read_checkpoint(source)
    given = find_state_dict(content, prefix='')
    targets = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    # A part of the model may be compiled, and was not when it was saved, or the other way round.
    own_names = unwrap({name: name for name in targets})
    if wrong := list_misfits(given, {name: targets[own] for name, own in own_names.items()}):
        raise CheckpointError(
            f'{source_name} does not fit this {type(model).__name__} in {len(wrong)} places, e.g. it {wrong[0]}; '
            f'use it with the config that it was trained with'
        )
    fitting = {own: given[name].to(targets[own].dtype) for name, own in own_names.items()}
    _warn_of_nonfinite(source_name, fitting)
    _load_all_or_nothing(model, fitting, source_name)
    return content


def list_misfits(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors from being exactly those of a model: phrases that go on after 'it'."""
    wrong = [f'lacks {name}' for name in wanted if name not in given]
    wrong += [f'holds {printable(name)}, which the model has not' for name in given if name not in wanted]
    wrong += [
        f'holds {name} as {misfit}'
        for name, tensor in given.items()
        if name in wanted and (misfit := _misfit(tensor, wanted[name], lambda tensor: tuple(tensor.shape)))
    ]
    return wrong


def _misfit(tensor: Tensor, target: Tensor, shape: Callable[[Tensor], tuple[int, ...]]) -> str | None:
    """Why the values of a tensor cannot become those of another: shape, kind of numbers or memory layout."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return f'a {"quantized" if tensor.is_quantized else "sparse"} tensor, the model needs a dense one'
    if shape(tensor) != shape(target):
        return f'{list(tensor.shape)}, the model needs {list(target.shape)}'
    if _number_kind(tensor) != _number_kind(target):
        return f'of {tensor.dtype}, the model needs {target.dtype}'
    return None


def _number_kind(tensor: Tensor) -> tuple[bool, bool, bool]:
    """Floats of all widths are one kind, integers another."""
    return tensor.is_floating_point(), tensor.is_complex(), tensor.dtype is torch.bool


def _is_rgb_stem(name: str, tensor: Tensor, target: Tensor) -> bool:
    """Whether a tensor is the first convolution of the model but for its number of channels, which is that of RGB."""
    return (
        name.startswith('stem.')
        and tensor.ndim == target.ndim == 4
        and tensor.shape[1] == 3 != target.shape[1]
        and (tensor.shape[0], *tensor.shape[2:]) == (target.shape[0], *target.shape[2:])
        and tensor.is_floating_point()
        and target.is_floating_point()
        and tensor.layout is torch.strided
    )


def _adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """``[O, 3, H, W]`` to ``[O, channels, H, W]``, such that an image whose channels are equal gets equal results."""
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % 3] * (3 / channels)


def _warn_of_nonfinite(source: str, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    nonfinite = tuple(name for name, tensor in tensors.items() if not is_finite(tensor))
    if nonfinite:
        warnings.warn(f'{source} holds NaN or infinite values in {list_names(nonfinite)}', stacklevel=3)
    return nonfinite


def _load_all_or_nothing(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put tensors of the right names, shapes and types into a model, which keeps all its values if that fails."""
    targets = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    before = {name: tensor.detach().clone() for name, tensor in targets.items()}
    try:
        model.load_state_dict(tensors, strict=False)
    except Exception as error:
        with torch.no_grad():
            for name, tensor in targets.items():
                tensor.copy_(before[name])
        raise CheckpointError(
            f'{source} could not be loaded into this {type(model).__name__} '
            f'({type(error).__name__}: {printable(str(error))}); it keeps the values that it had'
        ) from error


def _blocks(backbone: nn.Module, given: Mapping[str, Tensor]) -> set[str]:
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
    return list_names([f'{printable(part, 60)} ({count})' for part, count in counts.items()], 20) or 'none'
