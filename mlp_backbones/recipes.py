"""Find the recipes: configs, metafiles and tools of a clone, or those that an installed package carries in ``.mim``.

mmengine resolves ``mlp_backbones::FOLDER/CONFIG.py`` only in packages that it knows by name, only in an installed
``.mim`` folder (so never in an editable install), and it would look every class up in this package, though the configs
name classes of mmdet, mmseg and mmpretrain. ``install`` changes all three for this package's name, and only for it.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import yaml
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.hub import hub

from .errors import UserError, printable

NAME = 'mlp_backbones'
INDEX = 'model-index.yml'
_PACKAGE = Path(__file__).parent


def recipes_folder() -> Path:
    """The folder that holds ``configs``, ``tools`` and ``model-index.yml``.

    It is ``.mim`` of an installed package, and the root of the clone otherwise, also for an editable install.

    Raises:
        UserError: if there is neither.
    """
    for folder in (_PACKAGE / '.mim', _PACKAGE.parent):
        if (folder / INDEX).is_file():
            return folder
    raise UserError(
        f'{printable(_PACKAGE)} has no recipes: neither .mim nor a clone around it; '
        f'install the package with pip, or run this in a clone'
    )


def find_recipe(name: str) -> Path:
    """The path of a config in the folder ``configs`` of this package.

    Args:
        name: path below ``configs``, e.g. ``cyclemlp/mask-rcnn_cyclemlp-b1_fpn_1x_coco.py``.

    Raises:
        UserError: if there is no such config; the sentence names the nearest ones.
    """
    configs = recipes_folder() / 'configs'
    path = configs / name
    if configs in path.parents and '..' not in path.parts and path.is_file():
        return path
    names = [str(path.relative_to(configs)) for path in sorted(configs.rglob('*.py'))]
    nearest = ', '.join(get_close_matches(name, names, cutoff=0.5))
    raise UserError(
        f"unknown config '{NAME}::{printable(name)}'" + (f', did you mean {nearest}?' if nearest else '; see its zoo')
    )


def install() -> None:
    """Let mmengine resolve ``mlp_backbones::FOLDER/CONFIG.py``; harmless if it is called again."""
    config_utils.MODULE2PACKAGE.setdefault(NAME, NAME)
    _redirect(Config, '_get_cfg_path', _find_base)
    _redirect(hub, '_get_cfg_metainfo', _find_metadata)


def _redirect(owner: object, name: str, ours: Callable) -> None:
    """Put a function of ours before one of mmengine, to which it hands on what is not of this package."""
    theirs = getattr(owner, name)
    if isinstance(theirs, partial):  # ours, of an import whose modules were removed from sys.modules
        (theirs,) = theirs.args
    function = partial(ours, theirs)
    setattr(owner, name, staticmethod(function) if isinstance(owner, type) else function)


def _find_base(theirs: Callable, path: str, filename: str) -> tuple[str, str | None]:
    """``Config._get_cfg_path``: the path and the scope of a base. None keeps the scope of the config itself."""
    package, separator, name = path.partition('::')
    return (str(find_recipe(name)), None) if separator and package == NAME else theirs(path, filename)


def _find_metadata(theirs: Callable, package: str, name: str) -> dict:
    """``_get_cfg_metainfo`` of mmengine.hub: the entry of a config in its metafile, with its whole path."""
    if Path(package).name != NAME:
        return theirs(package, name)
    path, folder = find_recipe(name), recipes_folder()
    models = (
        model for file in read_metafile(folder / INDEX)['Import'] for model in read_metafile(folder / file)['Models']
    )
    return {**next((model for model in models if folder / model['Config'] == path), {}), 'Config': str(path)}


def read_metafile(path: Path) -> dict:
    """Read a metafile or their index; YAML's parser in C, where there is one, takes a tenth of the time."""
    return yaml.load(path.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
