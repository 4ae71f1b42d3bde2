"""Configs by name: a path, one of this package, or one of an installed OpenMMLab library."""

from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from ..errors import UserError, printable

LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain', 'mmpose', 'mmrotate')


def library_configs(name: str) -> Path | None:
    """The folder of configs in an installed library, or None."""
    spec = find_spec(name)
    folders = (
        [Path(path, '.mim', 'configs') for path in (spec.submodule_search_locations or ()) if spec] if spec else []
    )
    return next((folder for folder in folders if folder.is_dir()), None)


def find_config(name: str, configs: Path) -> tuple[Path, str]:
    """Find a config, and how another config inherits from it.

    Args:
        name: a path, ``LIBRARY::FOLDER/NAME.py``, or the bare name of a config in ``configs`` or in an installed
            library.
        configs: folder of this package's configs.

    Returns:
        Its path; and a Python expression for ``_base_`` that holds on other machines, or '' where only a path does.

    Raises:
        UserError: if there is none of that name, or several; the sentence names the nearest ones.
    """
    path = Path(name)
    if '::' not in name and path.is_file():
        return path, _expression(path)
    scope, _, inner = name.rpartition('::')
    if scope:
        folder = library_configs(scope) if scope.isidentifier() else None
        if folder is None:
            raise UserError(f'config {printable(name)!r}: {printable(scope)} is not installed, or has no configs in it')
        found = [folder / inner] if (folder / inner).is_file() else _named(folder, Path(inner).stem)
        folders = [folder]
    else:
        folders = [configs, *filter(None, map(library_configs, LIBRARIES))]
        found = _named(configs, path.stem) or [p for folder in folders[1:] for p in _named(folder, path.stem)]
        found = found if len(path.parts) == 1 else []
    if len(found) > 1:
        names = ', '.join(_scoped(path) or str(path) for path in found)
        raise UserError(f'config {printable(name)!r} is in several places: give one of {names}')
    if not found:
        known = {p.stem for folder in folders if folder.is_dir() for p in folder.rglob('*.py')}
        nearest = ', '.join(get_close_matches(path.stem, known, cutoff=0.5))
        hint = f': did you mean {nearest}?' if nearest else ': give a path, or a name as mmdet::FOLDER/NAME.py'
        raise UserError(f'there is no config {printable(name)!r}{hint}')
    return found[0], _expression(found[0])


def _named(folder: Path, stem: str) -> list[Path]:
    return [path for path in sorted(folder.rglob('*.py')) if path.stem == stem and '_base_' not in path.parts]


def _scoped(path: Path) -> str:
    """``LIBRARY::FOLDER/NAME.py`` for a config of an installed library, or ''."""
    for name in LIBRARIES:
        folder = library_configs(name)
        if folder and path.resolve().is_relative_to(folder.resolve()):
            return f'{name}::{path.resolve().relative_to(folder.resolve()).as_posix()}'
    return ''


def _expression(path: Path) -> str:
    scoped = _scoped(path)
    if not scoped:
        return ''
    try:
        Config._get_cfg_path(scoped, '')
        return repr(scoped)
    except (ModuleNotFoundError, AssertionError, FileNotFoundError, KeyError):
        # mmengine looks the library up by the name of its package, which forks have changed.
        name, _, inner = scoped.partition('::')
        return f"__import__({name!r}).__path__[0] + '/.mim/configs/{inner}'"
