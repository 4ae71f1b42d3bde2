"""Fit tensors of a file to a model: names, shapes and kinds of numbers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, printable
from ..registry import FAMILIES
from .identify import identify, is_own, label, squeezed
from .key_maps import file_names, head_names, is_constant, is_optional, last_norm


@dataclass
class Fit:
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

    def follows(self, name: str) -> bool:
        """Whether a tensor of the model follows from the architecture, so that a source may lack it."""
        return is_constant(self.family, self.names[name])


def family_of(module: object) -> str | None:
    """Return the name of a backbone's family; None for modules that are no backbones of this package."""
    # By name: after a reload there are two classes of that name.
    kinds = type(module).__mro__
    ours = (k for k in kinds if k.__module__.startswith('mlp_backbones.') or FAMILIES.get(k.__name__) is k)
    return next((kind.__name__ for kind in ours if kind.__name__ in FAMILIES), None)


def fit_to(model: nn.Module, given: Mapping[str, Tensor], source: str, adapt_channels: bool = False) -> Fit:
    """Find the tensors that fit a backbone or classifier, in the model's names, shapes and types.

    Args:
        model: a backbone of this package, or a module with one as ``model.backbone``.
        given: tensors by name, without prefixes; names as published or of this package.
        source: what holds the tensors, for messages.
        adapt_channels: adapt the first convolution to another number of image channels. Default False.

    Raises:
        CheckpointError: if the tensors lack a part of the backbone body or hold more blocks than the model, or if the
            model is fused or not of this package; the error names the network that ``given`` holds.
    """
    fit = _match_names(model, given, source)
    _fit_tensors(model, fit, adapt_channels)
    _check_complete(model, fit, source)
    return fit


def _match_names(model: nn.Module, given: Mapping[str, Tensor], source: str) -> Fit:
    """Find the family of a model, and the name in the source of each of its tensors."""
    backbone: Any = getattr(model, 'backbone', model)
    family = family_of(backbone)
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
        names = max(file_names(family, names), key=lambda names: sum(key in given for key in names.values()))
        # A published classifier may have other names than the dense network.
        found = identify(given) if any(key not in given for key in names.values()) else None
        if found and found.family == family:
            body = (n for n in found.names if n.startswith(('stem.', 'stages.')))
            names |= {n: found.names[n] for n in body if n in names and names[n] not in given}
    last = len(backbone.strides) - 1
    if backbone.out_indices == (last,):
        names |= {name: key for name, key in last_norm(family, last, given).items() if name in names}
    if backbone is model:
        return Fit(family, names, given)
    names = {f'backbone.{name}': key for name, key in names.items()}
    heads = (name for name in model.state_dict() if not name.startswith('backbone.'))
    return Fit(family, names | head_names(family, heads, given), given)


def _fit_tensors(model: nn.Module, fit: Fit, adapt_channels: bool) -> None:
    """Bring the tensors of a source into the shapes and types of the model."""
    for name, target in model.state_dict().items():
        tensor, shown = fit.given.get(fit.names[name]), printable(fit.names[name])
        if tensor is None:
            continue
        channels, counts = _image_channels(model, name, target)
        if channels != 3 and _is_rgb_stem(tensor, target, sum(counts)):
            if not adapt_channels:
                fit.wrong.append(
                    f'{shown} has 3 input channels, the model has in_channels={channels}: '
                    f'set adapt_channels=True, of init_cfg or load_published, to adapt it'
                )
                continue
            tensor = _adapt_channels(tensor, channels, counts)
            fit.adapted.append(name)
        if misfit := _misfit(tensor, target, squeezed):
            fit.wrong.append(f'{shown} is {misfit}')
            continue
        if tensor.shape != target.shape:
            fit.reshaped.append(name)
        fit.tensors[name] = tensor.reshape(target.shape).to(target.dtype)


def _check_complete(model: nn.Module, fit: Fit, source: str) -> None:
    """Raise if the source lacks a part of the backbone body, or holds blocks that the model has no place for."""
    backbone: Any = getattr(model, 'backbone', model)
    body = [name for name in fit.names if name.removeprefix('backbone.').startswith(('stem.', 'stages.'))]
    may_lack = {n for n in body if fit.follows(n) or is_optional(fit.family, n.removeprefix('backbone.'))}
    missing = [name for name in body if name not in fit.tensors and name not in may_lack]
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


def _image_channels(model: nn.Module, name: str, target: Tensor) -> tuple[int, tuple[int, ...]]:
    """The image channels of the first layer's weight and the inputs for each of them; 3 of any other tensor.

    The inputs lie in parts, each of all channels of the image: one for convolutions, more for patches of several sizes.
    """
    if not name.removeprefix('backbone.').startswith('stem.') or target.ndim != 4:
        return 3, (1,)
    counts = getattr(model.get_submodule(name.rpartition('.')[0]), 'inputs_per_channel', (1,))
    return target.shape[1] // sum(counts), counts


def _is_rgb_stem(tensor: Tensor, target: Tensor, inputs: int) -> bool:
    """Whether a tensor is the first layer of the model, except that it is for RGB images."""
    kernel = squeezed(target)[2:]
    return (
        tensor.ndim > 1
        and tensor.shape[1] == 3 * inputs
        and (tensor.shape[0], *squeezed(tensor)[2:]) == (target.shape[0], *kernel)
        and tensor.is_floating_point()
        and target.is_floating_point()
        and tensor.layout is torch.strided
    )


def _adapt_channels(weight: Tensor, channels: int, counts: tuple[int, ...]) -> Tensor:
    """Turn ``[O, 3, H, W]`` into ``[O, channels, H, W]``; an image with equal channels gets equal results.

    Of several parts, each with ``counts`` inputs for a channel, every one is turned.
    """
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    turned = []
    for part, count in zip(weight.split([3 * count for count in counts], 1), counts, strict=True):
        part = part.unflatten(1, (3, count))
        part = part.sum(1, keepdim=True) if channels == 1 else part[:, torch.arange(channels) % 3] * (3 / channels)
        turned.append(part.flatten(1, 2))
    return torch.cat(turned, 1)


def _blocks(backbone: Any, given: Mapping[str, Tensor]) -> set[str]:
    """Names in ``given`` of blocks in stages that the backbone has built, or that its arch does not have."""
    identity = identify(given)
    if identity is None:
        return set()
    stages = {key: int(name.split('.')[1]) for name, key in identity.names.items() if '.blocks.' in name}
    built, all_of_arch = len(backbone.stages), len(backbone.strides)
    return {key for key, stage in stages.items() if not built <= stage < all_of_arch}


def other_head_name(name: str) -> str:
    """Exchange mmpretrain's name of a classifier's linear layer, ``head.fc``, and that of published files, ``head``."""
    return re.sub(r'(^|\.)head\.(fc\.)?(?=weight$|bias$)', lambda m: f'{m[1]}head.{"" if m[2] else "fc."}', name)
