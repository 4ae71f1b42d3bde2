"""Load weights into models, and report exactly what was loaded."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """The result of :func:`load_published`; ``str`` returns one line.

    Attributes:
        source: the file, or 'a state dict'.
        loaded: names (of the model) of the tensors that were loaded.
        missing: names of the model that the source lacks; these tensors keep their values.
        unexpected: names of the source that the model has no place for.
        reshaped: names among ``loaded`` whose tensor has another shape in the source (a linear map as a 1x1
            convolution).
        nonfinite: names among ``loaded`` whose tensor holds NaN or infinite values; a warning names them as well.
        adapted: names among ``loaded`` whose tensor was adapted to another number of image channels.
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
    """Load a published checkpoint, or one of this package, into a backbone or classifier.

    The model keeps its values if anything raises. The classifier's last norm goes to a backbone whose last stage is its
    only output, where it does the same work; the published dense networks initialize theirs afresh as well.

    Args:
        model: a backbone of this package, or a module with one as ``model.backbone``.
        source: path, http(s) address, or a dict: a state dict or the content of a file.
        prefix: load what lies below this prefix of the source. Default None: it is found.
        ema: load the moving average of the weights (``model_ema``) that the source holds beside them. Default False.
        adapt_channels: load weights for RGB images into a model of another ``in_channels``, as timm does: one channel
            gets the sum over RGB, others get R, G, B, R, ... in turn, scaled by 3 / ``in_channels``. Default False.

    Returns:
        The report.

    Raises:
        CheckpointError: if the source cannot be read, lacks a part of the backbone body (stem and stages), has more
            blocks than the model, two names that are equal without their wrappers, or networks below several prefixes,
            or if the model is fused or not of this package; the error names the network that the source holds.
    """
    source_name = 'a state dict' if isinstance(source, Mapping) else printable(source, 500)
    content = source if isinstance(source, Mapping) else read_checkpoint(source)
    given = find_state_dict(content, prefix, ema)
    fit = _match_names(model, given, source_name)
    _fit_tensors(model, fit, adapt_channels)
    _check_complete(model, fit, source_name)
    nonfinite = _warn_of_nonfinite(source_name, fit.tensors)
    _load_all_or_nothing(model, fit.tensors, source_name)
    return LoadReport(
        source=source_name,
        loaded=tuple(fit.tensors),
        missing=tuple(name for name in fit.names if name not in fit.tensors),
        unexpected=fit.unexpected,
        reshaped=tuple(fit.reshaped),
        nonfinite=nonfinite,
        adapted=tuple(fit.adapted),
    )


@dataclass
class _Fit:
    """How the tensors of a source fit a model.

    Attributes:
        family: of the model.
        names: names of the model to those of the source.
        given: tensors of the source.
        tensors, reshaped, adapted: those that fit, by names of the model.
        wrong: why others do not fit.
    """

    family: str
    names: dict[str, str]
    given: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    reshaped: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def unexpected(self) -> tuple[str, ...]:
        used = {self.names[name] for name in self.tensors}
        return tuple(key for key in self.given if key not in used and not is_constant(self.family, key))


def _match_names(model: nn.Module, given: Mapping[str, Tensor], source: str) -> _Fit:
    """Find the family of a model, and the name in the source of each of its tensors."""
    backbone: Any = getattr(model, 'backbone', model)
    # By name: after a reload there are two classes of that name.
    kinds = type(backbone).__mro__
    ours = (k for k in kinds if k.__module__.startswith('mlp_backbones.') or FAMILIES.get(k.__name__) is k)
    family = next((kind.__name__ for kind in ours if kind.__name__ in FAMILIES), None)
    if family is None:
        raise CheckpointError(
            f'{type(model).__name__} is not a backbone of this package, nor does it hold one as `backbone`: '
            f'load {source} with its own loader'
        )
    if backbone.fused:
        raise CheckpointError(
            f'this {family} was fused for inference, and no weights fit it any more: load {source} before fuse()'
        )
    names = {name: name for name in backbone.state_dict()}
    if not is_own(given):
        names = official_names(family, names)
    last = len(backbone.strides) - 1
    if backbone.out_indices == (last,):
        names |= {name: key for name, key in last_norm(last, given).items() if name in names}
    if backbone is model:
        return _Fit(family, names, given)
    names = {f'backbone.{name}': key for name, key in names.items()}
    heads = (name for name in model.state_dict() if not name.startswith('backbone.'))
    return _Fit(family, names | {name: _head_name(name, given) for name in heads}, given)


def _fit_tensors(model: nn.Module, fit: _Fit, adapt_channels: bool) -> None:
    """Bring the tensors of a source into the shapes and types of the model."""
    for name, target in model.state_dict().items():
        tensor, shown = fit.given.get(fit.names[name]), printable(fit.names[name])
        if tensor is None:
            continue
        if _is_rgb_stem(name.removeprefix('backbone.'), tensor, target):
            if not adapt_channels:
                fit.wrong.append(
                    f'{shown} has {tensor.shape[1]} input channels, the model has in_channels={target.shape[1]}: '
                    f'set adapt_channels=True, of init_cfg or load_published, to adapt it'
                )
                continue
            tensor = _adapt_channels(tensor, target.shape[1])
            fit.adapted.append(name)
        if misfit := _misfit(tensor, target, squeezed):
            fit.wrong.append(f'{shown} is {misfit}')
            continue
        if tensor.shape != target.shape:
            fit.reshaped.append(name)
        fit.tensors[name] = tensor.reshape(target.shape).to(target.dtype)


def _check_complete(model: nn.Module, fit: _Fit, source: str) -> None:
    """Raise if the source lacks a part of the backbone body, or holds blocks that the model has no place for."""
    backbone: Any = getattr(model, 'backbone', model)
    body = [name for name in fit.names if name.removeprefix('backbone.').startswith(('stem.', 'stages.'))]
    missing = [name for name in body if name not in fit.tensors]
    # A deeper variant of the same widths holds all that the model asks for, and more.
    unexpected = fit.unexpected
    blocks = _blocks(backbone, fit.given) if unexpected else ()
    surplus = [key for key in unexpected if key in blocks]
    if not missing and not surplus:
        return
    problems = [
        *fit.wrong,
        *(f'it lacks {fit.names[name]}' for name in missing),
        *(f'the model has no place for {printable(key)}' for key in surplus),
    ]
    holds, wanted = str(identify(fit.given) or 'no network of this package'), label(fit.family, backbone.arch_name)
    mixed_up = f'this file holds {holds}, the model is {wanted} (arch={backbone.arch_name!r}); '
    raise CheckpointError(
        f'{source} does not fit {wanted}: {mixed_up if holds != wanted else ""}'
        f'{len(body) - len(missing)} of the {len(body)} tensors of the stem and stages fit, e.g. {problems[0]}. '
        f'Nothing was loaded; check arch and in_channels'
    )


def load_trained(model: nn.Module, source: str | Path) -> dict:
    """Load a checkpoint of mmengine's runner into the whole model that it was saved from, safely and strictly.

    Args:
        model: a detector, segmentor or classifier, wrapped for DDP or test-time augmentation or not.
        source: path or http(s) address.

    Returns:
        The content of the file; mmengine's runner keeps the classes under ``meta``, as ``dataset_meta``.

    Raises:
        CheckpointError: if the file cannot be read, or its tensors are not exactly those of the model, in names,
            shapes and kinds of numbers. The model keeps its values.
    """
    while inner := getattr(model, 'module', None) or getattr(model, '_orig_mod', None):
        model = inner
    source_name = printable(source, 500)
    content = read_checkpoint(source)
    given = find_state_dict(content, prefix='')
    targets = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    # A part of the model may be compiled now and not when it was saved, or the reverse.
    own_names = unwrap({name: name for name in targets})
    if wrong := list_misfits(given, {name: targets[own] for name, own in own_names.items()}):
        raise CheckpointError(
            f'{source_name} does not fit this {type(model).__name__} in {len(wrong)} places, e.g. it {wrong[0]}; '
            f'use it with its training config'
        )
    fitting = {own: given[name].to(targets[own].dtype) for name, own in own_names.items()}
    _warn_of_nonfinite(source_name, fitting)
    _load_all_or_nothing(model, fitting, source_name)
    return content


def list_misfits(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """List how tensors differ from those of a model, as phrases that follow 'it'."""
    wrong = [f'lacks {name}' for name in wanted if name not in given]
    wrong += [f'holds {printable(name)}, which the model lacks' for name in given if name not in wanted]
    wrong += [
        f'holds {name} as {misfit}'
        for name, tensor in given.items()
        if name in wanted and (misfit := _misfit(tensor, wanted[name], lambda tensor: tuple(tensor.shape)))
    ]
    return wrong


def _misfit(tensor: Tensor, target: Tensor, shape: Callable[[Tensor], tuple[int, ...]]) -> str | None:
    """The reason why a tensor cannot take the place of another: shape, kind of numbers or memory layout."""
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
    """Whether a tensor is the first convolution of the model, except that it is for RGB images."""
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
    """Turn ``[O, 3, H, W]`` into ``[O, channels, H, W]``; an image with equal channels gets equal results."""
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


def _blocks(backbone: Any, given: Mapping[str, Tensor]) -> set[str]:
    """Names in ``given`` of blocks in stages that the backbone has built, or that its arch does not have."""
    identity = identify(given)
    if identity is None:
        return set()
    stages = {key: int(name.split('.')[1]) for name, key in identity.names.items() if '.blocks.' in name}
    built, all_of_arch = len(backbone.stages), len(backbone.strides)
    return {key for key, stage in stages.items() if not built <= stage < all_of_arch}


def _head_name(name: str, given: Mapping[str, Tensor]) -> str:
    """mmpretrain names the linear layer `head.fc`, the published files and the classifier here `head`."""
    other = re.sub(r'^head\.(fc\.)?', lambda m: 'head.' if m[1] else 'head.fc.', name)
    return other if name not in given and other in given else name


def _summary(names: Iterable[str]) -> str:
    """Names grouped by their first part: 'head (2), norm0 (2)', or 'none'."""
    counts = Counter('.'.join(name.split('.')[: 2 if name.startswith('out_norms') else 1]) for name in names)
    return list_names([f'{printable(part, 60)} ({count})' for part, count in counts.items()], 20) or 'none'
