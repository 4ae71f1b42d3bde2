"""The recipe of this package that is nearest to a config: its weights, its backbone's options and its optimizer."""

import re
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..engine.nodes import type_name
from .config import library
from .edits import plain

# The task of a library's configs, by what recipes of it are named; the first one that exists is taken.
RECIPES = dict(
    mmdet=('mask-rcnn', 'cascade-mask-rcnn', 'retinanet'),
    mmseg=('upernet', 'semfpn'),
    mmpretrain=('in1k',),
)
METHODS = {
    'RetinaNet': 'retinanet',
    'CascadeRCNN': 'cascade-mask-rcnn',
    'FPNHead': 'semfpn',
}
# Detectors without regions are nearer to RetinaNet than to Mask R-CNN.
SINGLE_STAGE = 'retinanet'
# Options of a recipe's backbone that are not of the architecture.
LEFT_OUT = ('type', 'arch', 'out_indices', 'drop_path_rate', 'init_cfg', '_delete_')


def nearest_recipe(config: Config, family: str, arch: str, configs: Path) -> Config | None:
    """Find the recipe of the same task whose backbone and method are nearest.

    Args:
        config: the config to find one for.
        family: class name of the backbone, e.g. 'CycleMLP'.
        arch: of the backbone.
        configs: folder of this package's configs.

    Returns:
        The recipe, or None where the folder has none for the task.
    """
    methods = RECIPES.get(library(config), ())
    head = config.model.get('decode_head') or {}
    kinds = [type_name(config.model), type_name(head[-1] if isinstance(head, (list, tuple)) else head)]
    wanted = next((METHODS[kind] for kind in kinds if kind in METHODS), '')
    if not wanted and methods and methods[0] == 'mask-rcnn' and 'roi_head' not in config.model:
        wanted = SINGLE_STAGE
    found = []
    for folder in (configs / family.lower(), configs):
        for path in sorted(folder.rglob('*.py')):
            name = path.stem
            method = next((m for m in methods if name.startswith(f'{m}_') or name.endswith(f'_{m}')), None)
            if method and path.parent != configs and 'digits' not in path.parts and '_base_' not in path.parts:
                multi_scale = '_ms-' in name
                found.append((method != wanted, methods.index(method), f'-{arch}_' not in name, multi_scale, path))
        if found:
            return Config.fromfile(min(found)[-1])
    return None


def published_weights(family: str, arch: str, configs: Path) -> str | None:
    """Address of the published ImageNet weights that recipes for an architecture name, or None."""
    for path in sorted((configs / family.lower()).glob(f'*{family.lower()}-{arch}_*.py')):
        backbone = Config.fromfile(path).get('model', {}).get('backbone', {})
        checkpoint = (backbone.get('init_cfg') or {}).get('checkpoint', '')
        if backbone.get('arch') == arch and checkpoint.startswith('http'):
            return checkpoint
    return None


def batch_size(config: Config) -> int | None:
    """Images in one step, of all devices: as its learning rate is meant for, or as its name has it; else None."""
    base = (config.get('auto_scale_lr') or {}).get('base_batch_size')
    named = re.search(r'(\d+)xb(\d+)', Path(config.filename or '').stem)
    if named:
        return int(named[1]) * int(named[2])
    return base


def paper_optimizer(config: Config, recipe: Config) -> tuple[dict, str]:
    """The recipe's optimizer, its learning rate scaled to the batch of a config.

    Returns:
        An ``optim_wrapper``, and how the rate was scaled.
    """
    wrapper = plain(recipe.optim_wrapper)
    old = config.get('optim_wrapper') or ConfigDict()
    kept = {key: plain(old[key]) for key in ('type', 'loss_scale', 'dtype', 'accumulative_counts') if key in old}
    wrapper = dict(type='OptimWrapper') | wrapper | kept
    rate, theirs, ours = wrapper['optimizer']['lr'], batch_size(recipe), batch_size(config)
    if not theirs or not ours:
        return wrapper, f'rate {rate:g} of the recipe, not scaled: the batch of all devices is not known'
    wrapper['optimizer']['lr'] = float(f'{rate * ours / theirs:.3g}')
    return wrapper, f'rate {rate:g} for {theirs} images scaled to {ours}'
