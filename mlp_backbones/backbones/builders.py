"""Backbones by name, from Python."""

from fnmatch import fnmatch
from typing import Any, TypeVar

from mmengine.logging import print_log
from torch import nn

from ..checkpoints import CheckpointMissing, list_weights, load_published
from ..checkpoints.identify import label
from ..checkpoints.weights import SCHEME
from ..registry import FAMILIES
from .arguments import check, check_call, resolve_arch, unknown
from .base import MLPBackbone
from .classifier import Classifier

T = TypeVar('T', bound=nn.Module)


def list_backbones(pattern: str = '*') -> list[str]:
    """List all published variants as ``<family>_<arch>``, e.g. ``'cyclemlp_b1'``.

    Args:
        pattern: of shell style, e.g. ``'cycle*'``; only names that match it are listed. Default ``'*'``.
    """
    names = [f'{name.lower()}_{arch}' for name, family in FAMILIES.items() for arch in family.variants]
    return [name for name in names if fnmatch(name, pattern)]


def build_backbone(name: str, pretrained: bool | str = False, **kwargs: Any) -> MLPBackbone:
    """Builds a backbone.

    Args:
        name: a family with ``arch`` among ``kwargs`` (``'CycleMLP', arch='b1'``), or a variant (``'cyclemlp_b1'``).
        pretrained: True loads the published weights of the variant, of :func:`mlp_backbones.list_weights`; a string
            is the path, address or name (``'mlp_backbones://cyclemlp_b1'``) of others. Default False: random weights.
        **kwargs: the arguments of the family, see :class:`mlp_backbones.backbones.MLPBackbone`.

    Returns:
        A plain ``nn.Module``, with ``out_channels`` and ``out_strides``. It maps images ``[B, C, H, W]`` to a tuple
        of maps. With a ``Pretrained`` ``init_cfg``, ``init_weights()`` loads the file, as in mmengine; a
        network that runs before it was called warns once.

    Raises:
        ValueError: if there is no such family or arch; the sentence names all there are, and the nearest one.
        CheckpointError: if the weights were not published, cannot be fetched, or do not fit.
    """
    family, kwargs = resolve(name, kwargs)
    source = _weights_of(family, kwargs, pretrained)
    net = family(**kwargs)
    return _load(net, source)


def build_classifier(name: str, num_classes: int = 1000, pretrained: bool | str = False, **kwargs: Any) -> Classifier:
    """Builds backbone, global average and linear head.

    Args:
        name: as in :func:`build_backbone`.
        num_classes: width of the result. Default 1000.
        pretrained: as in :func:`build_backbone`; a head of another width keeps its values. Default False.
        **kwargs: the arguments of the family, but for ``out_indices``, which is the last stage, and ``out_norm``.

    Returns:
        An ``nn.Module`` that maps images ``[B, C, H, W]`` to logits ``[B, num_classes]``.

    Raises:
        ValueError: as :func:`build_backbone`, and if ``out_indices`` or ``out_norm`` is given or ``num_classes`` is
            below 1.
    """
    for key in ('out_indices', 'out_norm'):
        if key in kwargs:
            raise ValueError(f'{key}={kwargs[key]!r} is not valid: a classifier uses the last stage with its norm')
    family, kwargs = resolve(name, kwargs)
    last = len(family.stage_strides(resolve_arch(family, kwargs['arch'])[1])) - 1
    source = _weights_of(family, kwargs, pretrained)
    return _load(
        Classifier(family(**kwargs, out_indices=(last,), out_norm=family.classifier_norm), num_classes), source
    )


def _weights_of(family: type[MLPBackbone], kwargs: dict, pretrained: bool | str) -> str | None:
    """The source of the weights that ``pretrained`` asks for."""
    allowed = 'True, False, or a path, address or name of weights'
    check('pretrained', pretrained, allowed, isinstance(pretrained, bool | str) and pretrained != '')
    if not pretrained:
        return None
    if kwargs.get('init_cfg'):
        raise ValueError(f'pretrained={pretrained!r} and init_cfg={kwargs["init_cfg"]!r} are both given: leave one out')
    if isinstance(pretrained, str):
        return pretrained
    prefix, arch = f'{family.__name__.lower()}_', kwargs['arch']
    published = {weights.name for weights in list_weights()}
    ours = [name for name in list_backbones() if name in published and name.startswith(prefix)]
    if isinstance(arch, str) and prefix + arch in ours:
        return f'{SCHEME}://{prefix}{arch}'
    raise CheckpointMissing(
        f'no weights of {label(family.__name__, arch if isinstance(arch, str) else None)} were published: '
        + (f'there are those of {", ".join(ours)}' if ours else f'there are none of {family.__name__}')
    )


def _load(net: T, source: str | None) -> T:
    if source:
        print_log(str(load_published(net, source)), logger='current')
    return net


def resolve(name: str, kwargs: dict) -> tuple[type[MLPBackbone], dict]:
    if name in FAMILIES:
        check_call(FAMILIES[name], (), kwargs)
        return FAMILIES[name], kwargs
    for family_name, family in FAMILIES.items():
        prefix, _, arch = str(name).partition('_')
        if prefix == family_name.lower() and arch in family.variants:
            if 'arch' in kwargs:
                raise ValueError(f'arch={kwargs["arch"]!r} is given twice: {name!r} names the arch already')
            return family, dict(kwargs, arch=arch)
    raise ValueError(unknown('backbone', name, [*FAMILIES, *list_backbones()]))
