"""Every way in which a config reaches a backbone, each in a fresh process."""

import pytest

from tests.conftest import run

LIBRARIES = ['mmdet', 'mmseg', 'mmpretrain']


@pytest.mark.slow
@pytest.mark.parametrize('library', LIBRARIES)
def test_scoped_type_with_nothing_else(library):
    done = run(
        '-c',
        f"""
import sys
from {library}.registry import MODELS
assert 'mlp_backbones' not in sys.modules
net = MODELS.build(dict(type='mlp_backbones.CycleMLP', arch='b1', out_indices=(1, 2)))
print(type(net).__module__, net.out_channels)
""",
    )
    assert done.returncode == 0 and 'mlp_backbones.backbones.cyclemlp (128, 320)' in done.stdout, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('library', LIBRARIES)
def test_bare_type_with_custom_imports(library, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("""
custom_imports = dict(imports=['mlp_backbones'], allow_failed_imports=False)
backbone = dict(type='CycleMLP', arch='b1', out_indices=(1, 2))
""")
    done = run(
        '-c',
        f"""
from mmengine.config import Config
from {library}.registry import MODELS
net = MODELS.build(Config.fromfile({str(config)!r}).backbone)
print(type(net).__module__, net.out_channels)
""",
    )
    assert done.returncode == 0 and 'mlp_backbones.backbones.cyclemlp (128, 320)' in done.stdout, done.stdout


def test_import_takes_torch_and_mmengine_alone():
    done = run(
        '-c',
        """
import sys
import mlp_backbones as mb
mb.build_backbone('CycleMLP', arch='b1')
heavy = {'mmdet', 'mmseg', 'mmpretrain', 'mmcv', 'torchvision', 'timm', 'sklearn', 'pycocotools'}
print(sorted(heavy & set(sys.modules)))
""",
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == '[]', done.stdout


@pytest.mark.parametrize('missing', ['torch', 'mmengine'])
def test_a_missing_requirement_is_one_sentence(missing):
    done = run('-c', f'import sys; sys.modules[{missing!r}] = None; import mlp_backbones')
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1
    assert (
        f"mlp_backbones needs torch and mmengine, and '{missing}' is not installed: `pip install torch onedl-mm" in last
    )


@pytest.mark.slow
def test_importing_again_and_reloading_are_harmless(tmp_path):
    (tmp_path / 'config.py').write_text("custom_imports = dict(imports=['mlp_backbones'], allow_failed_imports=False)")
    done = run(
        '-c',
        f"""
import importlib, sys
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, LOOPS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
import mlp_backbones

def check():
    Config.fromfile({str(tmp_path / 'config.py')!r})
    for kind in ('CycleMLP', 'mlp_backbones.CycleMLP'):
        net = MODELS.build(dict(type=kind, arch=dict(dims=(8, 8, 8, 8), depths=(1, 1, 1, 1))))
        assert net(torch.zeros(1, 3, 32, 32))[0].shape == (1, 8, 8, 8)
    wrapped = dict(
        type='mlp_backbones.LayerDecayOptimWrapperConstructor', paramwise_cfg=dict(layer_decay_rate=0.5),
        optim_wrapper_cfg=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0)),
    )
    OPTIM_WRAPPER_CONSTRUCTORS.build(wrapped)(torch.nn.ModuleDict(dict(backbone=net)))
    for name in ('AuxiliaryLossHook', 'ProgressHook', 'InterruptHook', 'ResultHook'):
        found.append(HOOKS.get(f'mlp_backbones.{{name}}'))
        assert found[-1].__name__ == name
    assert LOOPS.get('mlp_backbones.ResumableEpochLoop').__name__ == 'ResumableEpochLoop'

found = []
check()
for name in sorted(n for n in sys.modules if n.partition('.')[0] == 'mlp_backbones' and 'triton' not in n):
    importlib.reload(sys.modules[name])
    if name.count('.') < 2:
        check()
# A class of a reloaded module, which FAMILIES does not have.
new = mlp_backbones.backbones.cyclemlp
importlib.reload(new)
net, same = new.CycleMLP('b1'), mlp_backbones.build_backbone('cyclemlp_b1')
torch.save(dict(state_dict=same.state_dict()), {str(tmp_path / 'x.pth')!r})
mlp_backbones.checkpoints.load_published(net, {str(tmp_path / 'x.pth')!r})
assert torch.equal(net.stem.proj.weight if hasattr(net.stem, 'proj') else next(net.parameters()),
                   same.stem.proj.weight if hasattr(same.stem, 'proj') else next(same.parameters()))
for name in [n for n in sys.modules if n.partition('.')[0] == 'mlp_backbones']:
    del sys.modules[name]
importlib.import_module('mlp_backbones')
check()
assert found[-1] is not found[0] and found[-1] is sys.modules['mlp_backbones.engine.hooks.result'].ResultHook
print('harmless')
""",
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == 'harmless', done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_class_of_the_users_keeps_its_name_and_ours_the_full_one(when):
    own = """
from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
for registry, name in (
    (MODELS, 'CycleMLP'),
    (HOOKS, 'AuxiliaryLossHook'),
    (OPTIM_WRAPPER_CONSTRUCTORS, 'LayerDecayOptimWrapperConstructor'),
):
    registry.register_module(module=type(name, (), dict(__module__='users')))
"""
    ours = 'import mlp_backbones\n'
    done = run(
        '-c',
        (own + ours if when == 'before' else ours + own)
        + """
import importlib
importlib.reload(mlp_backbones.registry)
for registry, name in ((MODELS, 'CycleMLP'), (HOOKS, 'AuxiliaryLossHook')):
    assert registry.get(name).__module__ == 'users'
    assert registry.get(f'mlp_backbones.{name}').__module__.startswith('mlp_backbones.')
constructor = 'LayerDecayOptimWrapperConstructor'
assert OPTIM_WRAPPER_CONSTRUCTORS.get(constructor).__module__ == 'users'
assert MODELS.get('ASMLP') is MODELS.get('mlp_backbones.ASMLP') is mlp_backbones.ASMLP
try:
    MODELS.register_module(module=type('CycleMLP', (), dict(__module__='other')))
except KeyError as error:
    print('KeyError', 'users' in str(error))
""",
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == 'KeyError True', done.stdout
    lines = [line for line in done.stdout.splitlines() if 'users.CycleMLP' in line and 'mlp_backbones.CycleMLP' in line]
    assert len(lines) == 1  # at the import or the registration, and not again at the reload
