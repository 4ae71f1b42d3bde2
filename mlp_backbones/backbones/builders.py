"""Backbones by name, from Python."""

from fnmatch import fnmatch
from typing import Any

from ..registry import FAMILIES
from .arguments import check_call, resolve_arch, unknown
from .base import MLPBackbone
from .classifier import Classifier


def list_backbones(pattern: str = '*') -> list[str]:
    """List all published variants as ``<family>_<arch>``, e.g. ``'cyclemlp_b1'``.

    Args:
        pattern: of shell style, e.g. ``'cycle*'``; only names that match it are listed. Default ``'*'``.
    """
    names = [f'{name.lower()}_{arch}' for name, family in FAMILIES.items() for arch in family.variants]
    return [name for name in names if fnmatch(name, pattern)]


def build_backbone(name: str, **kwargs: Any) -> MLPBackbone:
    """Builds a backbone.

    Args:
        name: a family with ``arch`` among ``kwargs`` (``'CycleMLP', arch='b1'``), or a variant (``'cyclemlp_b1'``).
        **kwargs: the arguments of the family, see :class:`mlp_backbones.backbones.MLPBackbone`.

    Returns:
        A plain ``nn.Module``, with ``out_channels`` and ``out_strides``. It maps images ``[B, C, H, W]`` to a tuple
        of maps. With a ``Pretrained`` ``init_cfg``, ``init_weights()`` loads the file, as in mmengine; a
        network that runs before it was called warns once.

    Raises:
        ValueError: if there is no such family or arch; the sentence names all there are, and the nearest one.
    """
    family, kwargs = _resolve(name, kwargs)
    return family(**kwargs)


def build_classifier(name: str, num_classes: int = 1000, **kwargs: Any) -> Classifier:
    """Builds backbone, global average and linear head.

    Args:
        name: as in :func:`build_backbone`.
        num_classes: width of the result. Default 1000.
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
    family, kwargs = _resolve(name, kwargs)
    last = len(family.stage_strides(resolve_arch(family, kwargs['arch'])[1])) - 1
    return Classifier(family(**kwargs, out_indices=(last,), out_norm=True), num_classes)


def _resolve(name: str, kwargs: dict) -> tuple[type[MLPBackbone], dict]:
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
