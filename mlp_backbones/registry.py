"""The one place that speaks to the mm registries.

A registry whose scope is the package's name makes ``type='mlp_backbones.CycleMLP'`` work with no ``custom_imports``:
mmengine imports ``mlp_backbones.registry`` by itself. The root registry, which mmdet, mmseg and mmpretrain all search,
makes the bare ``type='CycleMLP'`` work once the package is imported.
"""

from mmengine import registry as root
from mmengine.registry import Registry

from .backbones import FAMILIES

MODELS = Registry('model', parent=root.MODELS, scope='mlp_backbones', locations=['mlp_backbones.backbones'])
for family in FAMILIES.values():
    MODELS.register_module(module=family)
    root.MODELS.register_module(module=family)

# Names alone: the command lines' own parts are imported when a config of theirs asks for them.
HOOKS = Registry('hook', parent=root.HOOKS, scope='mlp_backbones', locations=['mlp_backbones.engine'])
LOOPS = Registry('loop', parent=root.LOOPS, scope='mlp_backbones', locations=['mlp_backbones.engine'])
