"""Every way in which a config reaches a backbone, each in a fresh process."""

import pytest

from tests.conftest import run

LIBRARIES = ['mmdet', 'mmseg', 'mmpretrain']


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
