import shutil

import pytest

from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow


def test_pip_install_brings_the_whole_package_and_nothing_else(tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'target'
    shutil.copytree(ROOT / 'mlp_backbones', source / 'mlp_backbones', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    # Requirements are resolved, without an index: it would fail if the package asked for anything.
    done = run('-m', 'pip', 'install', '-q', '--no-index', '--no-build-isolation', '--target', target, source)
    assert done.returncode == 0, done.stdout
    assert {path.name.split('-')[0] for path in target.iterdir()} == {'mlp_backbones'}
    code = 'import mlp_backbones as mb, mlp_backbones.engine; print(mb.__file__, mb.list_backbones())'
    done = run('-c', code, cwd=tmp_path, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stdout
    assert str(target) in done.stdout
    assert 'cyclemlp_b5' in done.stdout
