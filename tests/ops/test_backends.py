import pytest
import torch

from mlp_backbones import ops
from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import slim_arch
from tests.conftest import run


def test_defaults_by_device():
    assert ops.active_backends()['cycle_mix'] == 'folded'
    assert set(ops.active_backends('cuda').values()) == {'plain'}
    x = torch.zeros(1, 8, 4, 4)
    assert ops.select_implementation('cycle_mix', x, folding_pays=True) == 'folded'
    assert ops.select_implementation('cycle_mix', x) == ops.select_implementation('axial_linear', x) == 'plain'


def test_a_pin_holds_only_inside_its_block():
    x = torch.zeros(1, 8, 4, 4)
    with ops.use_backend('folded'):
        assert ops.select_implementation('cycle_mix', x) == 'folded'
        with ops.use_backend('plain'):
            assert ops.select_implementation('cycle_mix', x, folding_pays=True) == 'plain'
        assert ops.active_backends()['cycle_mix'] == 'folded'
    assert ops.select_implementation('cycle_mix', x) == 'plain'


def test_the_environment_pins(monkeypatch):
    monkeypatch.setenv('MLP_BACKBONES_BACKEND', 'plain')
    assert set(ops.active_backends().values()) == {'plain'}
    with ops.use_backend('folded'):
        assert ops.active_backends()['cycle_mix'] == 'folded'
    monkeypatch.setenv('MLP_BACKBONES_BACKEND', 'fast')
    with pytest.raises(ValueError, match=r"'fast'.*MLP_BACKBONES_BACKEND.*plain, folded, triton"):
        ops.active_backends()


def test_what_cannot_run_is_an_error_and_not_a_slower_implementation():
    with pytest.raises(ValueError, match="'cuda'"), ops.use_backend('cuda'):
        pass


@pytest.mark.slow
@pytest.mark.newer
def test_triton_runs_on_cuda_or_is_an_error():
    with ops.use_backend('triton'), pytest.raises(RuntimeError, match=r'CUDA.* cpu'):
        ops.select_implementation('axial_linear', torch.zeros(1, 8, 4, 4))
    without_triton = (
        'import sys; sys.modules["triton"] = None\nimport mlp_backbones as mb\nwith mb.ops.use_backend("triton"): pass'
    )
    assert '`pip install triton`' in run('-c', without_triton).stdout


@pytest.mark.slow
def test_networks_log_them_once():
    """At the first step of the first network of a family in a process, with its own operators only."""
    steps = '; '.join(f'net = mb.{family}({slim_arch(family)!r}).eval(); net(x); net(x)' for family in FAMILIES)
    done = run('-c', f'import torch, mlp_backbones as mb; x = torch.zeros(1, 3, 8, 8); {steps}')
    said = [line.partition('runs its operators as: ')[2] for line in done.stdout.splitlines() if 'as: ' in line]
    assert done.returncode == 0 and len(said) == len(set(said)) == 4, done.stdout
    assert [line for line in said if 'cycle_mix' in line] == [
        'cycle_mix folded, cycle_linear plain (mlp_backbones.ops.active_backends)'
    ]
