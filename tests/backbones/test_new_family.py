"""A plain new family is one file and one import line: docs/average_mlp.py, in a process of its own."""

import pytest

from tests.conftest import ROOT, run

SCRIPT = """
import pytest
import torch
import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.checkpoints import convert, identify, load_published
from mlp_backbones.checkpoints.key_maps import official_names, official_tensors

import average_mlp

from tests.backbones import test_contract as contract

assert 'averagemlp_tiny' in mb.list_backbones()
chosen = 'AverageMLP and (images_of_a_batch or frozen_stages or pickles or smallest)'
assert pytest.main(['-q', '-p', 'no:xdist', '-p', 'no:cacheprovider', contract.__file__, '-k', chosen]) == 0

net = mb.build_backbone('averagemlp_tiny', out_norm=False)
names = official_names('AverageMLP', net.state_dict())
official = {}
for name, tensor in net.state_dict().items():
    official |= official_tensors('AverageMLP', names[name], tensor)
assert 'layers.0.downsample.proj.weight' in official and official['layers.0.blocks.0.pool.proj.weight'].ndim == 2
torch.save(dict(model=official), 'official.pth')
assert (identify(official).family, identify(official).arch) == ('AverageMLP', 'tiny')
ours = convert(dict(model=official), to='backbone')[0]['state_dict']
assert all(torch.equal(ours[name], tensor) for name, tensor in net.state_dict().items())
twin = mb.build_backbone('averagemlp_tiny', out_norm=False)
load_published(twin, 'official.pth')
assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True))

"""


@pytest.mark.slow
def test_one_file_and_one_import(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    done = run('script.py', cwd=tmp_path, PYTHONPATH=f'{ROOT}:{ROOT / "docs"}')
    assert done.returncode == 0, done.stdout
