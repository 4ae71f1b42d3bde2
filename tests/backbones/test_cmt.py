import pytest
import torch
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones.cmt import Attention
from mlp_backbones.layers import LayerNorm2d
from tests.backbones.slim import slim, slim_arch


@pytest.mark.parametrize(
    ('arch', 'parameters', 'grid', 'dropout'),
    [
        ('ti', 9_492_426, 40, 0.1),
        ('xs', 15_247_208, 48, 0.1),
        ('s', 26_256_160, 56, 0.1),
        ('b', 45_715_076, 64, 0.3),
    ],
)
def test_published_variants(arch, parameters, grid, dropout):
    with torch.device('meta'):
        net = mb.build_classifier('CMT', arch=arch)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net.backbone.stages[0].relative_pos.shape == (1, grid**2, (grid // 8) ** 2)
    assert net.neck.dropout.p == dropout and net.head.in_features == 1280


def test_two_epsilons():
    net = slim('CMT')
    found = {name: m.eps for name, m in net.named_modules() if isinstance(m, LayerNorm2d)}
    assert {eps for name, eps in found.items() if 'downsample' in name} == {1e-5}
    assert {eps for name, eps in found.items() if 'downsample' not in name} == {1e-6}


def test_attention_position_by_position():
    mixer = Attention(4, 2, 2, nn.BatchNorm2d).double().eval()
    x, bias = torch.randn(1, 4, 3, 3, dtype=torch.float64), torch.randn(2, 9, 4, dtype=torch.float64)
    coarse = mixer.sr[1](mixer.sr[0](nn.functional.pad(x, (0, 1, 0, 1))))
    q, k, v = (part.flatten(2)[0] for part in (mixer.q(x), mixer.k(coarse), mixer.v(coarse)))
    expected = torch.empty(4, 9, dtype=torch.float64)
    for head, n in ((head, n) for head in range(2) for n in range(9)):
        part = slice(2 * head, 2 * head + 2)
        weights = (q[part, n] @ k[part] / 2**0.5 + bias[head, n]).softmax(0)
        expected[part, n] = v[part] @ weights
    torch.testing.assert_close(mixer(x, bias), mixer.proj(expected.view(1, 4, 3, 3)), rtol=1e-12, atol=1e-12)


def test_one_position_bias_for_the_blocks_of_a_stage():
    net = slim('CMT')
    names = [name for name, _ in net.named_parameters() if 'relative_pos' in name]
    assert names == [f'stages.{i}.relative_pos' for i in range(4)]
    assert net.get_layer_depth('stages.0.relative_pos')[0] == 1


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match='one whose heads divide dims; stage 1 has not'):
        mb.CMT(slim_arch('CMT') | dict(heads=(1, 5, 1, 1)))
