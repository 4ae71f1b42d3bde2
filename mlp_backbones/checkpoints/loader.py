"""Replace mmengine's two ways to load weights, its loader of files and its Pretrained initializer."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from ..errors import CheckpointMissing, printable
from .load import load_published
from .read import read_checkpoint
from .state_dict import below
from .weights import SCHEME


def install_loader() -> None:
    """Let mmengine read all files with :func:`read_checkpoint`, in this process.

    It serves ``load_from``, ``resume``, ``init_cfg`` and the inferencers of mmdet, mmseg and mmpretrain, for
    every prefix that mmengine knows. Names of the model zoos (``torchvision://resnet50``) are looked up in
    mmengine's tables. A second call changes nothing.
    """
    CheckpointLoader.register_scheme([*CheckpointLoader._schemes], load_from_safe, force=True)


def load_from_safe(filename: str, map_location: str | torch.device | Callable | None = None) -> dict:
    """Load a checkpoint as mmengine's loaders do; for ``mmcls://`` only the backbone, without its prefix.

    Args:
        filename: path, address, or name of a model zoo (``torchvision://``, ``open-mmlab://``, ``mmcls://`` and their
            older names).
        map_location: not used. All tensors are on the CPU; models and optimizers copy them from there.

    Raises:
        CheckpointError: as :func:`read_checkpoint`, and if the model zoo has no such name.
    """
    scheme, separator, name = str(filename).partition('://')
    if not separator or scheme not in _ZOOS:
        return read_checkpoint(filename)
    addresses = _ZOOS[scheme]()
    if name not in addresses:
        nearest = get_close_matches(name[:100], addresses, n=1, cutoff=0.5)
        raise CheckpointMissing(
            f'cannot read checkpoint {printable(filename)}: mmengine knows no {printable(name)!r} of {scheme}'
            + (f'; did you mean {scheme}://{nearest[0]}?' if nearest else '; give the path of a file or its address')
        )
    content = read_checkpoint(addresses[name])
    if scheme != 'mmcls':
        return content
    return dict(state_dict=below(content.get('state_dict', content), 'backbone.'))


def _openmmlab() -> dict[str, str]:
    home = Path(mmengine_checkpoint._get_mmengine_home())
    # A user's own table may name files in mmengine's folder.
    addresses = {
        name: address if '://' in address else str(home / address)
        for name, address in mmengine_checkpoint.get_external_models().items()
    }
    renamed = mmengine_checkpoint.get_deprecated_model_names()
    return addresses | {old: addresses[new] for old, new in renamed.items() if new in addresses}


_ZOOS: dict[str, Callable[[], Mapping[str, str]]] = {
    'torchvision': mmengine_checkpoint.get_torchvision_models,
    'modelzoo': mmengine_checkpoint.get_torchvision_models,
    'open-mmlab': _openmmlab,
    'openmmlab': _openmmlab,
    'mmcls': mmengine_checkpoint.get_mmcls_models,
}


# mmengine leaves out the first ten letters of the function's name in its log.
CheckpointLoader.register_scheme(f'{SCHEME}://', load_from_safe, force=True)


@WEIGHT_INITIALIZERS.register_module(force=True)
class PublishedInit:
    """The ``Pretrained`` initializer of the backbones of this package; it calls :func:`load_published`.

    mmengine's log of initializations then names the file for each parameter that came from it.

    Args:
        checkpoint, prefix, ema, adapt_channels: as of :func:`load_published`.
    """

    def __init__(self, checkpoint: str, **options: Any):
        self.checkpoint = checkpoint
        self.options = options

    def __call__(self, module: BaseModule) -> None:
        report = load_published(module, self.checkpoint, **self.options)
        print_log(str(report), logger='current')
        loaded = {*report.loaded}
        for name, parameter in module.named_parameters():
            if name in loaded:
                # mmengine reports a later change if the mean differs.
                module._params_init_info[parameter].update(
                    init_info=f'Pretrained: loaded from {report.source}', tmp_mean_value=parameter.data.mean().cpu()
                )
