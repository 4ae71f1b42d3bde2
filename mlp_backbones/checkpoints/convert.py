"""Convert published checkpoints to OpenMMLab's names and back, and describe checkpoints."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from ..errors import CheckpointError, printable
from ..registry import FAMILIES
from .identify import Identity, classifier_names, identify, last_stage
from .key_maps import head_names, is_constant, is_published, official_names, official_tensors
from .state_dict import find_state_dict, is_finite, list_names

Layout = Literal['mmpretrain', 'backbone', 'official']


def convert(
    content: Mapping, to: Layout = 'mmpretrain', ema: bool = False, prefix: str | None = None
) -> tuple[dict, Identity, tuple[str, ...]]:
    """Rename and reshape the tensors of a checkpoint; no value changes.

    Args:
        content: content of a file, as :func:`read_checkpoint` returns it.
        to: ``'mmpretrain'``: ``state_dict`` with ``backbone.``, ``neck.`` and ``head.fc.``, for an ImageClassifier and,
            with ``Pretrained`` and ``prefix='backbone.'``, for all other models; ``'backbone'``: ``state_dict`` of only
            the backbone; ``'official'``: the layout of the published code, constants included. Default
            ``'mmpretrain'``.
        ema: convert the moving average that the file holds beside the weights. Default False.
        prefix: convert the tensors below this prefix. Default None: it is found.

    Returns:
        (content of the new file, identity of the network, names of the tensors that were left out).

    Raises:
        CheckpointError: if the tensors belong to no network of this package, or to several below different prefixes, or
            if ``to='official'`` and the network has no official layout.
    """
    state = find_state_dict(content, prefix, ema)
    identity = identify(state)
    if identity is None:
        raise CheckpointError(
            f'the checkpoint holds no network of this package ({", ".join(FAMILIES)}): its tensors are named '
            f'{list_names(state, 3)}'
        )
    if to == 'official' and not is_published(identity.family):
        raise CheckpointError(
            f'there is no official layout of {identity.family}, whose weights were not published: convert to '
            f'mmpretrain or backbone'
        )
    backbone = {name: _as_vector(state[key]) for name, key in identity.names.items()}
    own = backbone if identity.own else {name: _as_convolution(name, tensor) for name, tensor in backbone.items()}
    heads = head_names(identity.family, classifier_names(identity.family), state)
    head = {name: state[key] for name, key in heads.items() if key in state}
    dropped = [
        key
        for key in state
        if key not in identity.names.values()
        and not is_constant(identity.family, key)
        and (to == 'backbone' or key not in heads.values())
    ]
    if to == 'backbone':
        new = {'state_dict': own}
    elif to == 'mmpretrain':
        named = {f'backbone.{name}': tensor for name, tensor in own.items()}
        new = {'state_dict': named | {name.replace('head.', 'head.fc.'): t for name, t in head.items()}}
    else:
        new = _official(identity, backbone, head)
    return new, identity, tuple(dropped)


def _official(identity: Identity, backbone: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> dict:
    last, norm = f'out_norms.{last_stage(backbone)}.', official_names(identity.family, ['norm.'])['norm.']
    names = official_names(identity.family, [*backbone, *head])
    # A classifier has one norm, a dense network one for each output.
    classifier = all(name.startswith(last) for name in backbone if name.startswith('out_norms.'))
    tensors: dict[str, Tensor] = {}
    for name, tensor in backbone.items():
        if classifier and name.startswith(last):
            tensors[f'{norm}{name.removeprefix(last)}'] = tensor
        else:
            tensors |= official_tensors(identity.family, names[name], tensor)
    tensors |= {names[name]: tensor for name, tensor in head.items()}
    return tensors if FAMILIES[identity.family].published_names.flat else {'model': tensors}


def _as_vector(tensor: Tensor) -> Tensor:
    """Turn ``[1, 1, C]``, as timm keeps the scales of channels, into ``[C]``."""
    return tensor.flatten() if tensor.ndim == 3 and tensor.shape[:2] == (1, 1) else tensor


def _as_convolution(name: str, tensor: Tensor) -> Tensor:
    """Turn the matrix of a point-wise map into a 1x1 convolution."""
    is_map = tensor.ndim == 2 and name.endswith('.weight')
    return tensor[:, :, None, None] if is_map else tensor


def inspect(content: Mapping, prefix: str | None = None) -> list[tuple[str, str]]:
    """Describe a checkpoint, as (fact, value) pairs.

    Args:
        content: content of a file, as :func:`read_checkpoint` returns it.
        prefix: describe the tensors below this prefix. Default None: it is found.

    Raises:
        CheckpointError: if it holds no tensors, or networks below several prefixes.
    """
    state = find_state_dict(content, prefix)
    identity = identify(state)
    nonfinite = [key for key, tensor in state.items() if not is_finite(tensor)]
    key = head_names(identity.family, ['head.weight'], state)['head.weight'] if identity else 'head.weight'
    head = state.get(key, state.get('head.fc.weight'))
    facts = [
        ('network', str(identity or 'none of this package')),
        ('names', '-' if identity is None else 'of this package' if identity.own else 'as published'),
        ('tensors', f'{len(state)}, {sum(tensor.numel() for tensor in state.values()):,} numbers'),
        ('types', ', '.join(sorted({str(tensor.dtype).removeprefix('torch.') for tensor in state.values()}))),
        ('not finite', list_names(nonfinite) or 'none'),
        ('classes', '-' if head is None else str(head.shape[0])),
        ('extras', list_names(_extras(content), 20) or 'none'),
    ]
    if identity:
        rest = [k for k in state if k not in identity.names.values() and not is_constant(identity.family, k)]
        facts += [('would load', f'{len(identity.names)} tensors into the backbone'), ('beside them', _tops(rest))]
    return facts


def _extras(content: Mapping) -> list[str]:
    """List what a file holds beside its tensors: short values with their value, others with their type."""
    extras = []
    for key, value in content.items():
        if key not in ('model', 'state_dict') and not isinstance(value, Tensor):
            short = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**30)
            short = short or (isinstance(value, str) and len(value) < 40)
            name = printable(key, 60) if isinstance(key, str) else type(key).__name__
            extras.append(f'{name} ({printable(value) if short else type(value).__name__})')
    return extras


def _tops(keys: list[str]) -> str:
    tops = Counter(key.split('.')[0] for key in keys)
    return list_names([f'{printable(top, 60)} ({count})' for top, count in tops.items()], 10) or 'nothing'
