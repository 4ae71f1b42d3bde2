"""The recipe of this package that is nearest to a config: its weights, its backbone's options and its optimizer."""

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..checkpoints import list_weights
from ..checkpoints.weights import SCHEME, Weights
from ..engine.nodes import type_name
from ..errors import UserError, printable
from ..recipes import read_metafile
from .config import library
from .edits import plain

# Data of the recipes for a library's configs, and their methods, nearest last.
RECIPES = dict(
    mmdet=('COCO', ('Cascade Mask R-CNN', 'RetinaNet', 'Mask R-CNN')),
    mmrotate=('COCO', ('Cascade Mask R-CNN', 'RetinaNet', 'Mask R-CNN')),
    mmseg=('ADE20K', ('Semantic FPN', 'UperNet')),
    mmpretrain=('ImageNet-1K', ('Classifier',)),
)
# By the class of a model or decode head; detectors without regions are nearest to RetinaNet.
METHODS = {'RetinaNet': 'RetinaNet', 'CascadeRCNN': 'Cascade Mask R-CNN', 'FPNHead': 'Semantic FPN'}
SINGLE_STAGE = 'RetinaNet'
# Options of a recipe's backbone that are not of the architecture.
LEFT_OUT = ('type', 'arch', 'out_indices', 'drop_path_rate', 'init_cfg', '_delete_')


@cache
def _recipes(configs: Path) -> list[dict]:
    """The entries of all metafiles, without what was trained only on digits."""
    found = []
    for path in sorted(configs.glob('*/metafile.yml')):
        found += read_metafile(path)['Models']
    return [model for model in found if model['Metadata']['Training Data'] != 'DigitScenes']


def nearest_recipe(config: Config, backbone: str, configs: Path) -> Config | None:
    """Find the recipe for a library's task whose backbone and method are nearest.

    Args:
        config: the config to find one for.
        backbone: a variant, e.g. 'cyclemlp_b1'; a recipe of its family goes before one of its size.
        configs: folder of this package's configs and metafiles.

    Returns:
        The recipe, or None where the folder has none for the task.
    """
    data, methods = RECIPES.get(library(config), ('', ()))
    head = config.model.get('decode_head') or {}
    kinds = [type_name(config.model), type_name(head[-1] if isinstance(head, (list, tuple)) else head)]
    wanted = next((METHODS[kind] for kind in kinds if kind in METHODS), '')
    if not wanted and SINGLE_STAGE in methods and 'roi_head' not in config.model:
        wanted = SINGLE_STAGE
    order = [*methods, wanted]
    family = backbone.partition('_')[0]

    def nearness(model: dict) -> tuple[bool, int, bool, bool, bool]:
        about = model['Metadata']
        return (
            about['Backbone'].startswith(f'{family}_'),
            max((i for i, method in enumerate(order) if method == about['Head']), default=-1),
            about['Backbone'] == backbone,
            bool(model['Results']),
            about['Scales'] == 'single',
        )

    fitting = [model for model in _recipes(configs) if model['Metadata']['Training Data'] == data]
    return Config.fromfile(configs.parent / max(fitting, key=nearness)['Config']) if fitting else None


def choose_weights(variant: str, given: str | None) -> tuple[str, Weights | None]:
    """The checkpoint for an ``init_cfg``, and what is known of it.

    Args:
        variant: of the backbone, e.g. 'cyclemlp_b1'.
        given: a file, an address, the name of published weights, or 'none'. Default None: the published ImageNet
            weights of the variant that can be fetched.

    Returns:
        Path or address, or '' for none; and the entry of :func:`.list_weights`, or None for other weights.

    Raises:
        UserError: if the weights are of another variant, or there are none of that name.
    """
    known = {weights.name: weights for weights in list_weights()}
    if given is None:
        found = known.get(variant)
        return (f'{SCHEME}://{variant}' if found and not found.file else ''), found
    name = given.removeprefix(f'{SCHEME}://')
    if given == 'none' or '://' in name or Path(given).is_file():
        return '' if given == 'none' else given, None
    if name not in known:
        near = get_close_matches(name[:100], known, n=3, cutoff=0.5) or [*known]
        raise UserError(
            f'weights={printable(given)!r} is no file, and no published weights have this name: there are '
            f"{', '.join(near)}; 'none' starts from random weights"
        )
    if known[name].variant != variant:
        raise UserError(f'weights={given!r} are of {known[name].variant}, and the backbone is {variant}')
    return f'{SCHEME}://{name}', known[name]


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
