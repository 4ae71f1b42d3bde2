"""Find the tensors of a network in the content of a file, whatever wrapped it when it was saved."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, printable
from .identify import identify, network_prefixes

# Where files keep their tensors and the moving average.
_PLACES = ('state_dict', 'model')
_EMA_PLACES = ('model_ema', 'state_dict_ema', 'ema_state_dict')
# What torch.compile, FSDP and activation checkpointing add to names, at any depth.
_WRAPPERS = re.compile(r'(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+')


def find_state_dict(content: Mapping, prefix: str | None = None, ema: bool = False) -> dict[str, Tensor]:
    """Find the tensors in the content of a file, and remove the prefixes of wrappers from their names.

    They are under ``state_dict`` (detectors, segmentors, mmengine), under ``model`` (AS-MLP, CycleMLP, Hire-MLP), under
    other keys (``student``), or are the whole file (ConvMLP). DDP's ``module.`` and torch.compile's
    ``_orig_mod.`` are dropped.

    Args:
        content: content of a file.
        prefix: return only the tensors below this prefix of the file, without it; the dot at its end may be left out.
            '' returns all tensors. Default None: the network of this package is found, and its prefix (``backbone.``,
            ``model.``, ``teacher.backbone.``) removed; other tensors lose as much of that prefix as they share.
        ema: take the moving average of the weights, which is under ``model_ema`` (Hire-MLP), ``state_dict_ema`` (timm)
            or ``ema_state_dict``. mmengine's runner swaps the two: the average is under ``state_dict``. Default False.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: if there are no tensors, none below ``prefix``, networks below several prefixes, two names that
            become one, or no moving average although ``ema`` is set.
    """
    state = file_tensors(content, ema)
    base = ''
    if prefix:
        base = prefix.rstrip('.') + '.'
        found = below(state, base) or below(unwrap(state), base)
        if not found:
            tops = list_names(sorted({name.split('.')[0] for name in state}))
            raise CheckpointError(
                f'prefix={printable(base)!r} is not in the checkpoint, whose tensors begin with {tops}'
            )
        state = found
    state = unwrap(state)
    if prefix == '':
        return state
    prefixes = network_prefixes(state)
    if len(prefixes) > 1:
        # Names may look like those of a network by chance.
        prefixes = [p for p in prefixes if identify(below(state, p))] or prefixes
    if len(prefixes) > 1:
        found = ', '.join(f'prefix={printable(base + p)!r} ({identify(below(state, p))})' for p in prefixes[:5])
        raise CheckpointError(
            f'the checkpoint holds {len(prefixes)} networks: choose one of them with {found}'
            + (', ...' if len(prefixes) > 5 else '')
        )
    return _rename(state, lambda name: _without(name, prefixes[0] if prefixes else 'backbone.'))


def unwrap(state: Mapping[str, Any]) -> dict[str, Any]:
    """Remove what DDP, torch.compile, FSDP and activation checkpointing add to names.

    Raises:
        CheckpointError: if two names become one.
    """

    def bare(name: str) -> str:
        name = _WRAPPERS.sub(r'\1', name)
        while name.startswith('module.'):
            name = name.removeprefix('module.')
        return name

    return _rename(state, bare)


def list_names(names: Iterable[object], limit: int = 5) -> str:
    """List names from a file for a message: the first few, escaped and shortened, and the number of others."""
    # The numbers among the keys of a file may be too long to print.
    names = [name if isinstance(name, str) else f'a key of type {type(name).__name__}' for name in names]
    shown = ', '.join(printable(name, 100) for name in names[:limit])
    return f'{shown} and {len(names) - limit:,} more' if len(names) > limit else shown


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor has neither NaN nor infinite values."""
    # torch has no such function for the floats of 8 bits.
    tensor = tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
    return bool(torch.isfinite(tensor).all())


def file_tensors(content: Mapping, ema: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a file as they are named in it; see :func:`find_state_dict`."""
    average = next((key for key in _EMA_PLACES if isinstance(content.get(key), Mapping)), None)
    if ema and average is None:
        raise CheckpointError(f'ema=True, but the checkpoint holds no model_ema, only {list_names(content)}')
    meta = content.get('meta')
    swapped = average == 'ema_state_dict' and isinstance(meta, Mapping) and 'mmengine_version' in meta
    places = (average,) if ema and not swapped else _PLACES
    inner = next((content[key] for key in places if isinstance(content.get(key), Mapping)), content)
    for _ in range(3):  # {'model': {'state_dict': ...}}
        inner = next((inner[key] for key in _PLACES if isinstance(inner.get(key), Mapping)), inner)
    state = {name: value for name, value in inner.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        # {'student': {...}, 'teacher': {...}}
        state = {
            f'{place}.{name}': value
            for place, tensors in inner.items()
            if isinstance(place, str) and isinstance(tensors, Mapping) and place not in _EMA_PLACES
            for name, value in tensors.items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }
    if not state:
        advice = f'; it holds a moving average as {average}: set ema=True' if average and not ema else ''
        raise CheckpointError(f'the checkpoint holds no tensors, only {list_names(content) or "nothing"}{advice}')
    return state


def below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what is below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _without(name: str, prefix: str) -> str:
    """A name without the first parts that it shares with the prefix."""
    for part in prefix.split('.')[:-1]:
        if not name.startswith(f'{part}.'):
            break
        name = name.removeprefix(f'{part}.')
    return name


def _rename(state: Mapping[str, Any], new_name: Callable[[str], str]) -> dict[str, Any]:
    """The same values under other names."""
    renamed: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, value in state.items():
        new = new_name(name)
        if new in renamed:
            raise CheckpointError(
                f'the checkpoint holds both {printable(origin[new])} and {printable(name)}, which are both '
                f'{printable(new)} without their wrappers: choose one with prefix'
            )
        renamed[new], origin[new] = value, name
    return renamed
