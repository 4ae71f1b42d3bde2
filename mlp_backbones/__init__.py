"""Vision MLPs that take any image size, as backbones for mmdet, mmseg and mmpretrain."""

try:
    import mmengine  # noqa: F401
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'mlp_backbones needs torch and mmengine, and {error.name!r} is not installed: '
        f'`pip install torch onedl-mmengine` (or `mmengine`, of the original OpenMMLab line)',
        name=error.name,
    ) from error

from typing import TYPE_CHECKING, Any

from . import backbones, checkpoints, moved, ops, recipes
from .backbones import *  # noqa: F403  # the families
from .backbones import build_backbone, build_classifier, list_backbones
from .checkpoints import list_weights
from .compat import MMENGINE_READS_RUNNERS
from .engine.optimizers import LayerDecayOptimWrapperConstructor
from .registry import FAMILIES, MODELS
from .version import __version__

moved.install()
recipes.install()
if not MMENGINE_READS_RUNNERS:
    checkpoints.install_loader()

if TYPE_CHECKING:
    from .apis.swap import swap_backbone


def __getattr__(name: str) -> Any:
    if name == 'swap_backbone':
        # Imported when it is asked for: what it needs imports mmcv and other libraries.
        from .apis.swap import swap_backbone

        return swap_backbone
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


__all__ = [
    *FAMILIES,
    'MODELS',
    'LayerDecayOptimWrapperConstructor',
    '__version__',
    'backbones',
    'build_backbone',
    'build_classifier',
    'checkpoints',
    'list_backbones',
    'list_weights',
    'ops',
    'swap_backbone',
]
