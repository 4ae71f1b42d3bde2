"""Our counts are those of mmengine's counter, which traces a real run."""

import csv
import io
import json

import pytest
import torch
from mmengine.analysis import ActivationAnalyzer, FlopAnalyzer
from torchvision.models import resnet50

import mlp_backbones as mb
from mlp_backbones.analysis.complexity import complexity_by_part, count
from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import slim


def counted_by_mmengine(model, size):
    """(parameters, MACs, activations) of convolutions and linear maps."""
    x = torch.randn(1, 3, *size)
    flops, activations = (kind(model, x).unsupported_ops_warnings(False) for kind in (FlopAnalyzer, ActivationAnalyzer))
    by_operator = flops.uncalled_modules_warnings(False).by_operator()
    macs = sum(by_operator[name] for name in ('conv', 'linear', 'addmm', 'bmm', 'matmul', 'einsum'))
    return sum(p.numel() for p in model.parameters()), macs, activations.uncalled_modules_warnings(False).total()


@pytest.mark.newer
def test_resnet50():
    model = resnet50().eval()
    stages = {f'layer{i}': f'stage {i}' for i in range(1, 5)}
    found = count(model, (224, 224), {'conv1': 'stem', **stages})
    total = found.pop('all')
    assert (total.parameters, total.macs, total.activations) == counted_by_mmengine(model, (224, 224))
    # The widely reported 25.6 M, 4.1 G and 11.1 M.
    assert (total.parameters, total.macs, total.activations) == (25_557_032, 4_089_184_256, 11_114_984)
    for key in ('parameters', 'macs', 'activations'):
        assert sum(getattr(part, key) for part in found.values()) == getattr(total, key)
    assert found['rest'].macs == 2048 * 1000


@pytest.mark.slow
@pytest.mark.newer
@pytest.mark.parametrize('family', ['CycleMLP', 'RaftMLP'])
def test_images_of_other_channels(family):
    nets = [slim(family, in_channels=channels).eval() for channels in (3, 5)]
    three, five = (count(net, (32, 32), {})['all'] for net in nets)
    weights = five.parameters - three.parameters
    # Of the stem, at 8x8 positions. RaftMLP's reads two sizes of patches by one kernel, of the larger one.
    assert five.macs - three.macs == 64 * (weights if family == 'CycleMLP' else 2 * 8**2 * nets[0].out_channels[0])


@pytest.mark.slow
@pytest.mark.newer
@pytest.mark.parametrize('family', FAMILIES)
def test_the_smallest_variant(family):
    name = next(name for name in mb.list_backbones() if name.startswith(family.lower()))
    size = (64, 96)
    found = complexity_by_part(name, size)
    total = found['all']
    with torch.device('meta'):
        model = mb.build_classifier(name).eval()
    assert (total.parameters, total.macs, total.activations) == counted_by_mmengine(model.to_empty(device='cpu'), size)
    stages = [f'stage {i}' for i in range(1, len(model.backbone.strides) + 1)]
    assert list(found) == ['all', 'stem', *stages, 'head']
    for key in ('parameters', 'macs', 'activations'):
        assert sum(getattr(part, key) for part in found.values()) == 2 * getattr(total, key)
    # Without the head nothing changes before it, but for the norms, which are one for each output.
    dense = complexity_by_part(name, size, classifier=False)
    same = stages if family == 'SpiralMLP' else ('stem', *stages)  # its dense networks have one norm more in the stem
    assert all(dense[part] == found[part] for part in same)
    assert dense['norms'].macs == 0


@pytest.mark.newer
def test_formats_of_the_tool(run_here):
    command = ('tools/complexity.py', 'convmlp_s', '--size', 64, 96)
    counts = complexity_by_part('convmlp_s', (64, 96))
    listed = json.loads(run_here(*command, '--format', 'json').stdout)
    assert (listed['height'], listed['width']) == (64, 96)
    assert listed['counts'] == {'convmlp_s': {part: vars(found) for part, found in counts.items()}}
    rows = list(csv.DictReader(io.StringIO(run_here(*command, '--format', 'csv').stdout)))
    assert [(row['part'], int(row['activations'])) for row in rows] == [(p, c.activations) for p, c in counts.items()]
    refused = run_here(*command[:2], '--size', 0, 96)
    assert refused.returncode == 1 and 'error: --size 0 96 is not valid' in refused.stdout
