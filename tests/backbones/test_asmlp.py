"""AS-MLP's norms, folded into the maps behind them where that is allowed."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlp_backbones.ops import use_backend
from tests.backbones.slim import slim

FOLDED = ('norm1', 'mixer.norm2', 'norm2')


def norms_in_graph(block, x):
    """Count GroupNorms in the compiled graph."""
    counts = []

    def count(graph, inputs):
        counts.append(sum(node.target is F.group_norm for node in graph.graph.nodes))
        return graph

    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend=count)(x), block(x), rtol=1e-5, atol=1e-5)
    return counts


@pytest.mark.slow
@pytest.mark.newer
def test_compiled_inference_folds_the_norms_of_the_first_two_stages():
    torch.manual_seed(0)
    blocks = [stage.blocks[0] for stage in slim('ASMLP').eval().stages]
    maps = [torch.randn(2, block.mixer.conv1.in_channels, 9, 7) for block in blocks]
    with torch.no_grad():
        assert [norms_in_graph(*pair) for pair in zip(blocks, maps, strict=True)] == [[1], [1], [4], [4]]
        with torch.autocast('cpu', torch.bfloat16):
            assert norms_in_graph(blocks[0], maps[0]) == [4]
    assert norms_in_graph(blocks[0], maps[0]) == [4]


@pytest.mark.parametrize('name', [*FOLDED, 'mixer.conv1', 'mixer.conv3', 'mlp.fc1', 'mixer', 'mlp'])
def test_layers_that_are_watched_or_replaced_are_called(name):
    torch.manual_seed(0)
    net, x, called = slim('ASMLP').double().eval(), torch.randn(1, 3, 33, 40, dtype=torch.float64), []
    block = net.stages[0].blocks[0]
    parent, _, attribute = name.rpartition('.')
    layer = block.get_submodule(name)
    with use_backend('folded'):
        handle = layer.register_forward_hook(lambda *_: called.append(name))
        net(x)
        handle.remove()
        assert called == [name]
        setattr(block.get_submodule(parent), attribute, nn.Sequential(layer, nn.Softsign()))
        got = net(x)
    with use_backend('plain'):
        for a, b in zip(got, net(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
