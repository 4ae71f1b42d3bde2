"""The registries: the ground floor of the package, which imports mmengine only.

A registry whose scope is the package's name makes ``type='mlp_backbones.CycleMLP'`` work without ``custom_imports``:
mmengine imports ``mlp_backbones.registry`` by itself. The root registry, which mmdet, mmseg and mmpretrain all search,
makes the bare ``type='CycleMLP'`` work once the package is imported. A class of the user's with that name keeps it,
whether it is registered before or after the package is imported; the full name always means ours.

The package may be imported again, reloaded in whole or in part, or removed from ``sys.modules`` and imported anew.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from mmengine import registry as root
from mmengine.logging import print_log
from mmengine.registry import DefaultScope, Registry

Class = TypeVar('Class', bound=type)

SCOPE = 'mlp_backbones'
LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain')


class ReloadableRegistry(Registry):
    """A registry of this package's scope, in which a module that is reloaded replaces what it registered before."""

    def get(self, key: str) -> Any:
        """A class by name; one that only mmdet, mmseg or mmpretrain has, as a function that builds it in their scope.

        ``mmengine.hub.get_model('mlp_backbones::…')`` builds in the scope of this package, which has no detectors.
        """
        found = super().get(key)
        libraries = LIBRARIES if found is None and '.' not in key else ()
        for library in filter(find_spec, libraries):
            found = self.parent.get(f'{library}.{key}')
            if found is not None:
                return partial(_build_in_scope, library, found)
        return found

    def _register_module(
        self, module: Callable, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        names = _names(module, module_name)
        again = all(_path(self.module_dict.get(name, module)) == _path(module) for name in names)
        super()._register_module(module, names, force or again)


def _build_in_scope(library: str, kind: Callable, *args: object, **kwargs: object) -> object:
    with DefaultScope.overwrite_default_scope(library):
        return kind(*args, **kwargs)


def _make(name: str, parent: Registry, locations: list[str]) -> Registry:
    parent.children.pop(SCOPE, None)  # the one of an import whose modules were removed from sys.modules
    return ReloadableRegistry(name, parent=parent, scope=SCOPE, locations=locations)


def _share(registry: Registry, module: Callable) -> None:
    """Register one of our classes in a root registry under its bare name, unless a class of the user's has it."""
    name = module.__name__
    found = registry.module_dict.get(name)
    if found is None or _is_ours(found):
        registry.register_module(module=module, force=True)
    else:
        _log_name_taken(name, found)


def _give_way(registry: Registry, module: Callable, module_name: str | list[str] | None = None, force: bool = False):
    """``Registry._register_module`` for a root registry: a class of ours leaves its bare name to one of the user's."""
    for name in _names(module, module_name):
        found = registry.module_dict.get(name)
        if found is not None and _is_ours(found) and not _is_ours(module):
            del registry.module_dict[name]
            _log_name_taken(name, module)
    type(registry)._register_module(registry, module, module_name, force)


def _log_name_taken(name: str, by: Callable) -> None:
    print_log(
        f'{name!r} in configs means {_path(by)}, which was registered under that name; '
        f"type='{SCOPE}.{name}' means the one of {SCOPE}",
        logger='current',
    )


def _names(module: Callable, module_name: str | list[str] | None) -> list[str]:
    names = getattr(module, '__name__', None) if module_name is None else module_name
    return [names] if isinstance(names, str) else list(names or ())


def _path(module: Callable) -> str:
    return f'{module.__module__}.{getattr(module, "__qualname__", module)}'


def _is_ours(module: Callable) -> bool:
    return getattr(module, '__module__', '').partition('.')[0] == SCOPE


# A reload keeps the registries, in which other modules of the package have registered their classes.
if 'MODELS' not in globals():
    MODELS = _make('model', root.MODELS, ['mlp_backbones.backbones'])
    HOOKS = _make('hook', root.HOOKS, ['mlp_backbones.engine'])
    LOOPS = _make('loop', root.LOOPS, ['mlp_backbones.engine'])
    OPTIM_WRAPPER_CONSTRUCTORS = _make(
        'optimizer wrapper constructor', root.OPTIM_WRAPPER_CONSTRUCTORS, ['mlp_backbones.engine']
    )
    # The backbone families by class name; each family file adds its own.
    FAMILIES: dict[str, Any] = {}

for shared in (root.MODELS, root.HOOKS, root.OPTIM_WRAPPER_CONSTRUCTORS):
    # Of these registries only: mmengine refuses a name that is taken, and a user cannot take ours back.
    shared._register_module = partial(_give_way, shared)


def register(registry: Registry) -> Callable[[Class], Class]:
    """Class decorator: register a class under ``mlp_backbones.NAME`` and, in the root registry, under its bare name."""

    def add(kind: Class) -> Class:
        registry.register_module(module=kind)
        _share(registry.parent, kind)
        return kind

    return add


def register_family(family: Class) -> Class:
    """Class decorator: add a backbone family to :data:`FAMILIES`, and register it."""
    FAMILIES[family.__name__] = family
    return register(MODELS)(family)
