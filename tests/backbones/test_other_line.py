"""The original mmengine, which the set-up puts beside the environment's own, in place of the onedl one."""

import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow

ORIGINAL = Path(sys.prefix, 'openmmlab')


def test_the_contract_holds_with_the_original_mmengine():
    path = f'{ORIGINAL}:{ROOT}'
    version = run('-c', 'import mmengine; print(mmengine.__file__, mmengine.__version__)', PYTHONPATH=path)
    assert version.stdout.split() == [f'{ORIGINAL}/mmengine/__init__.py', '0.10.7'], version.stdout
    # These stand for all: mmengine has a part in the base class and in Sparse-MLP; Hire-MLP has BatchNorm.
    suite = [f'tests/backbones/{name}' for name in ('test_contract.py', 'test_goldens.py', 'test_families.py')]
    done = run('-m', 'pytest', *suite, '-k', 'cyclemlp or hiremlp or sparsemlp', PYTHONPATH=path)
    assert done.returncode == 0 and ' passed' in done.stdout, done.stdout[-3000:]
