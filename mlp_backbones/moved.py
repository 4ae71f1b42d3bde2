"""Modules and names of version 0.1 that moved; they go on working, with a warning, until version 0.3."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Before: today, one or several with spaces between.
MODULES = {
    'mlp_backbones.engine.config': 'mlp_backbones.apis.config mlp_backbones.apis.prepare',
    'mlp_backbones.engine.export': 'mlp_backbones.apis.export',
    'mlp_backbones.engine.infer': 'mlp_backbones.apis.inference',
    'mlp_backbones.engine.report': 'mlp_backbones.apis.report',
    'mlp_backbones.engine.submission': 'mlp_backbones.apis.submission',
    'mlp_backbones.engine.zoo': 'mlp_backbones.apis.zoo',
    'mlp_backbones.engine.complexity': 'mlp_backbones.analysis.complexity',
    'mlp_backbones.engine.model_complexity': 'mlp_backbones.analysis.complexity',
    'mlp_backbones.engine.similarity': 'mlp_backbones.analysis.similarity',
    'mlp_backbones.engine.progress': 'mlp_backbones.engine.runner mlp_backbones.engine.hooks.progress',
    'mlp_backbones.engine.resume': 'mlp_backbones.engine.hooks.interrupt mlp_backbones.engine.loops '
    'mlp_backbones.engine.state',
    'mlp_backbones.factory': 'mlp_backbones.backbones.builders',
    'mlp_backbones.hooks': 'mlp_backbones.engine.hooks.auxiliary_loss',
    'mlp_backbones.optim': 'mlp_backbones.engine.optimizers',
}
# Names in them that are others today.
RENAMED = {
    'BadPicture': 'BadImage',
    'Picture': 'ImageFile',
    'find_pictures': 'find_images',
    'picture_suffixes': 'image_suffixes',
    'read_picture': 'read_image',
}
# Names that mlp_backbones.engine had.
ENGINE = {
    'UserError': 'mlp_backbones.errors',
    'load_config': 'mlp_backbones.apis',
    'prepare_test': 'mlp_backbones.apis',
    'prepare_train': 'mlp_backbones.apis',
    'write_report': 'mlp_backbones.apis',
}


class _Finder(MetaPathFinder, Loader):
    """Gives the module of today for the name of before."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _warn(spec.name, MODULES[spec.name])
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        parts = [import_module(name) for name in MODULES[module.__name__].split()]

        def find(name: str) -> object:
            today = RENAMED.get(name, name)
            for part in parts:
                if hasattr(part, today):
                    return getattr(part, today)
            raise AttributeError(f'module {module.__name__} has no attribute {name!r}')

        module.__getattr__ = find  # type: ignore[method-assign]


def engine_name(name: str) -> object:
    """Return ``mlp_backbones.engine.NAME`` of version 0.1."""
    if name not in ENGINE:
        raise AttributeError(f'module mlp_backbones.engine has no attribute {name!r}')
    _warn(f'mlp_backbones.engine.{name}', f'{ENGINE[name]}.{name}')
    return getattr(import_module(ENGINE[name]), name)


def _warn(before: str, today: str) -> None:
    warnings.warn(f'{before} is {today} since version 0.2', DeprecationWarning, stacklevel=3)


def install() -> None:
    """Let imports find the old names; harmless if it is called again."""
    if not any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
