"""What pip installs, and every way into a recipe from there: the wheel in folders without anything of the clone."""

import fcntl
import json
import os
import shutil
import subprocess
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mlp_backbones.apis.zoo import load_references, load_zoo
from tests.conftest import ROOT, TINY, run
from tests.doors import CLASSIFIER, DETECTOR, SEGMENTOR

pytestmark = pytest.mark.slow

FOLDERS = ('benchmarks', 'configs', 'docs', 'mlp_backbones', 'requirements', 'tests', 'tools')
# What use leaves in a clone.
MADE = shutil.ignore_patterns('_build', 'examples', '__pycache__')
NO_INDEX = ('-q', '--no-index', '--no-build-isolation')
SHORT = ('--cfg-options', *(f'{key}={value}' for key, value in TINY.items()), 'train_cfg.max_epochs=1')


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's processes makes, for all of them."""
    base = factory.getbasetemp()
    folder = (base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base) / name
    with open(folder.with_suffix('.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            partial = folder.with_suffix('.partial')
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


def succeed(*command: object, **options: object) -> str:
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def copy_clone(folder: Path) -> None:
    """Copy what a fresh clone has."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=MADE)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != '.git':
            shutil.copy(path, folder)


@pytest.fixture(scope='session')
def built(tmp_path_factory) -> Path:
    """A folder with the source distribution, unpacked in ``unpacked``, and the wheel that was built of it."""

    def build(folder: Path) -> None:
        copy_clone(folder / 'clone')
        code = f'from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})'
        succeed('-c', code, cwd=folder / 'clone', PYTHONPATH='')
        (archive,) = folder.glob('*.tar.gz')
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter='data')
        archive.with_suffix('').with_suffix('').rename(folder / 'unpacked')
        # A copy, as the build leaves folders of its own.
        shutil.copytree(folder / 'unpacked', folder / 'source')
        succeed('-m', 'pip', 'wheel', *NO_INDEX, '--wheel-dir', folder, folder / 'source')

    return once(tmp_path_factory, 'built', build)


@pytest.fixture(scope='session')
def installed(built, tmp_path_factory) -> Path:
    """The folder into which pip installed the wheel."""
    (wheel,) = built.glob('*.whl')
    # Requirements are resolved without an index: it would fail if the package asked for anything.
    install = ('-m', 'pip', 'install', *NO_INDEX, '--target')
    return once(tmp_path_factory, 'installed', lambda folder: succeed(*install, folder, wheel))


@pytest.fixture(scope='session')
def trained(installed, tmp_path_factory) -> Path:
    """A folder that was empty before a detector was trained in it, with ``python -m mlp_backbones`` of the wheel."""

    def train(folder: Path) -> None:
        command = ('-m', 'mlp_backbones', 'train', 'cyclemlp_maskrcnn_digits', '--work-dir', 'work', *SHORT)
        succeed(*command, cwd=folder, PYTHONPATH=str(installed))
        shutil.copy(sorted(folder.rglob('images/val/*.png'))[0], folder / 'image.png')

    return once(tmp_path_factory, 'trained', train)


def test_the_source_distribution_holds_the_repository_and_its_tests_run(built):
    source, clone = files(built / 'unpacked'), files(built / 'clone')
    made = {name for name in source if '.egg-info/' in name} | {'PKG-INFO', 'setup.cfg'}
    assert source - made == {name for name in clone if '.egg-info/' not in name}
    environment = dict(cwd=built / 'unpacked', PYTHONPATH=str(built / 'unpacked'))
    command = ('-m', 'pytest', '-p', 'no:cacheprovider')
    golden = 'tests/backbones/test_references.py::test_published_network[cyclemlp_b1_dense-plain]'
    succeed(
        *command, 'tests/test_architecture.py', 'tests/configs/test_recipes.py::test_metafile', golden, **environment
    )


def test_the_wheel_carries_recipes_tools_and_types_and_nothing_else(built, installed):
    (wheel,) = built.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {f'mlp_backbones/{name}' for name in files(built / 'clone' / 'mlp_backbones')}
    recipes = {f'{folder}/{name}' for folder in ('configs', 'tools') for name in files(built / 'clone' / folder)}
    carried = {f'mlp_backbones/.mim/{name}' for name in {*recipes, 'model-index.yml'}}
    assert {name for name in names if '.dist-info/' not in name} == package | carried
    assert {'mlp_backbones/py.typed', f'mlp_backbones/.mim/configs/{DETECTOR}'} <= names
    assert {path.name.split('-')[0] for path in installed.iterdir()} == {'mlp_backbones'}
    assert os.access(installed / 'mlp_backbones/.mim/tools/dist_train.sh', os.X_OK)


def test_an_editable_install_finds_the_recipes_of_the_clone(tmp_path):
    """It leaves nothing in the clone: no links, no copies."""
    source, environment = tmp_path / 'clone', tmp_path / 'environment'
    copy_clone(source)
    before = files(source)
    venv.create(environment)
    # The libraries are those of this environment, without its own editable install.
    (packages,) = environment.glob('lib/python*/site-packages')
    (packages / 'outer.pth').write_text(f'{Path(torch.__file__).parents[1]}\n')
    python = environment / 'bin' / 'python'
    succeed('-m', 'pip', '--python', python, 'install', *NO_INDEX, '--editable', source, PYTHONPATH='')
    assert {name for name in files(source) - before if '.egg-info/' not in name} == set()
    code = f"""
from mmengine.config import Config
from mmengine.hub import get_config
open('own.py', 'w').write("_base_ = 'mlp_backbones::{DETECTOR}'")
import mlp_backbones
print(Config.fromfile('own.py').to_dict() == get_config('mlp_backbones::{DETECTOR}').to_dict())
print(get_config('mlp_backbones::{DETECTOR}').filename)
"""
    command, clean = [python, '-W', 'ignore', '-c', code], {**os.environ, 'PYTHONPATH': ''}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.split() == ['True', f'{source}/configs/{DETECTOR}'], done.stdout + done.stderr


def test_the_tools_of_the_wheel(trained, installed, tmp_path):
    """Training is in the fixture; the record of the command can be run again."""
    result = json.loads((trained / 'work' / 'result.json').read_text())
    assert result['command'].startswith('python -m mlp_backbones train cyclemlp_maskrcnn_digits --work-dir work ')
    assert result['config'] == Path(DETECTOR).stem

    def call(*command: object) -> str:
        return succeed('-m', 'mlp_backbones', *command, cwd=tmp_path, PYTHONPATH=str(installed))

    (tmp_path / 'data').symlink_to(trained / 'data')
    checkpoint = trained / 'work' / 'epoch_1.pth'
    call('test', 'cyclemlp_maskrcnn_digits', checkpoint, '--work-dir', 'tested', *SHORT)
    tested = json.loads((tmp_path / 'tested' / 'result.json').read_text())
    assert tested['metrics'] == result['metrics']
    rows = json.loads(call('zoo', '--format', 'json'))
    assert sum(len(table['rows']) for table in rows) == len(load_zoo(ROOT) + load_references(ROOT))
    listed = call('--help')
    tools = [path.stem for path in (ROOT / 'tools').glob('*.py')]
    assert all(f'    {name}' in listed for name in ('zoo', *tools))
    assert call('train', '--help').startswith('usage: python -m mlp_backbones train [-h]')


@pytest.mark.newer
def test_export_of_the_wheel(trained, installed, tmp_path):
    checkpoint = trained / 'work' / 'epoch_1.pth'
    arguments = ('net.pt2', '--backbone', '--checkpoint', checkpoint, '--size', 64, 64, '--static')
    command = ('-m', 'mlp_backbones', 'export', 'cyclemlp_maskrcnn_digits', *arguments)
    succeed(*command, cwd=tmp_path, PYTHONPATH=str(installed))
    outputs = torch.export.load(tmp_path / 'net.pt2').module()(torch.zeros(1, 3, 64, 64))
    assert [tuple(output.shape[2:]) for output in outputs] == [(16, 16), (8, 8), (4, 4), (2, 2)]


def door(name: str, trained: Path, installed: Path, folder: Path) -> dict:
    for path in ('image.png', 'work'):
        (folder / path).symlink_to(trained / path)
    printed = succeed('-W', 'ignore', ROOT / 'tests' / 'doors.py', name, cwd=folder, PYTHONPATH=str(installed))
    found = json.loads(printed.splitlines()[-1])
    assert found['package'] == str(installed / 'mlp_backbones' / '__init__.py')
    return found


def test_mmengine_inherits_from_recipes_and_builds_them(trained, installed, tmp_path):
    found = door('mmengine', trained, installed, tmp_path)
    configs = installed / 'mlp_backbones' / '.mim' / 'configs'
    models = {DETECTOR: 'MaskRCNN', SEGMENTOR: 'EncoderDecoder', CLASSIFIER: 'ImageClassifier'}
    assert found['configs'] == {
        recipe: dict(file=str(configs / recipe), is_equal=True, model=model) for recipe, model in models.items()
    }
    assert found['models'] == sorted({row.name for row in load_zoo(ROOT)})


def test_mmdet_detects_what_the_tool_detects(trained, installed, tmp_path):
    found = door('mmdet', trained, installed, tmp_path)
    assert found['classes'] == [*'0123456789'] and len(found['function'][0])
    for one, other in zip(found['inferencer'], found['function'], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    command = ('infer', 'image.png', '--config', 'cyclemlp_maskrcnn_digits', '--checkpoint', 'work/epoch_1.pth')
    command = ('-m', 'mlp_backbones', *command, '--out', 'out', '--score', 0)
    succeed(*command, cwd=tmp_path, PYTHONPATH=str(installed))
    drawn = json.loads((tmp_path / 'out' / 'image.png.json').read_text())
    np.testing.assert_allclose(drawn['scores'], sorted(found['function'][0], reverse=True), rtol=1e-5)
    assert cv2.imread(str(tmp_path / 'out' / 'image.png')).shape == (576, 576, 3)  # three times as large, to be read


def test_mmseg_labels_by_both_of_its_ways(trained, installed, tmp_path):
    found = door('mmseg', trained, installed, tmp_path)
    assert np.shape(found['function']) == (192, 192) and len(np.unique(found['function'])) > 1
    assert found['inferencer'] == found['function']


def test_mmpretrain_classifies_by_name_and_by_config(trained, installed, tmp_path):
    found = door('mmpretrain', trained, installed, tmp_path)
    assert found['inferencer'] == pytest.approx(found['function'], rel=1e-5)
