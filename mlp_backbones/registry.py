"""The one place that speaks to the mm registries.

A registry whose scope is the package's name makes ``type='mlp_backbones.CycleMLP'`` work with no ``custom_imports``:
mmengine imports ``mlp_backbones.registry`` by itself. The root registry, which mmdet, mmseg and mmpretrain all search,
makes the bare ``type='CycleMLP'`` work once the package is imported.
"""

from mmengine import registry as root
from mmengine.registry import Registry

from .backbones import FAMILIES
from .hooks import AuxiliaryLossHook
from .optim import LayerDecayOptimWrapperConstructor

MODELS = Registry('model', parent=root.MODELS, scope='mlp_backbones', locations=['mlp_backbones.backbones'])
for family in FAMILIES.values():
    MODELS.register_module(module=family)
    root.MODELS.register_module(module=family)

OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mlp_backbones',
    locations=['mlp_backbones.optim'],
)
OPTIM_WRAPPER_CONSTRUCTORS.register_module(module=LayerDecayOptimWrapperConstructor)
root.OPTIM_WRAPPER_CONSTRUCTORS.register_module(module=LayerDecayOptimWrapperConstructor)

# Names alone: the command lines' own parts are imported when a config of theirs asks for them.
HOOKS = Registry(
    'hook',
    parent=root.HOOKS,
    scope='mlp_backbones',
    locations=['mlp_backbones.engine', 'mlp_backbones.leaderboard.result'],
)
HOOKS.register_module(module=AuxiliaryLossHook)
root.HOOKS.register_module(module=AuxiliaryLossHook)
LOOPS = Registry('loop', parent=root.LOOPS, scope='mlp_backbones', locations=['mlp_backbones.engine'])
