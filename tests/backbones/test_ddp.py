import pytest

from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import OUT_INDICES
from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow


def test_two_processes_without_find_unused_parameters():
    worker = ROOT / 'tests' / 'backbones' / 'ddp_worker.py'
    done = run('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', worker)
    assert done.returncode == 0, done.stdout
    for family in FAMILIES:
        assert f'{family}: {len(OUT_INDICES)} choices trained' in done.stdout
