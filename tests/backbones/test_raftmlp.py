import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mlp_backbones as mb
from mlp_backbones.backbones.raftmlp import PatchLinear, RaftBlock, RaftMixer, RaftNorm
from mlp_backbones.layers import DropPath
from tests.backbones.slim import slim, slim_arch


@pytest.mark.parametrize(
    ('arch', 'classifier', 'dense'),
    [('s', 9_868_768, 9_354_744), ('m', 21_413_632, 20_643_096), ('l', 36_184_672, 35_157_624)],
)
def test_published_parameter_counts(arch, classifier, dense):
    with torch.device('meta'):
        nets = mb.build_classifier('RaftMLP', arch=arch), mb.build_backbone('RaftMLP', arch=arch)
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [classifier, dense]


def test_patches_of_two_sizes_are_unfolded_patches():
    layer = PatchLinear(3, 5, (2, 4)).double()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    columns = torch.cat([F.unfold(x, k, stride=2, padding=(k - 2) // 2) for k in (2, 4)], 1)
    expected = F.linear(columns.transpose(1, 2), layer.weight.flatten(1), layer.bias).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected.unflatten(2, (3, 4)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dim', [2, 3])
def test_raft_mixing_line_by_line(dim):
    grid, half = 3, 2
    mixer = RaftMixer(2 * half, grid, dim, 'stream').double()
    nn.init.normal_(mixer.norm.weight)
    nn.init.normal_(mixer.norm.bias)
    x = torch.randn(1, 2 * half, grid, grid, dtype=torch.float64)
    normed = F.layer_norm(x.permute(0, 2, 3, 1), (2 * half,))[0]
    expected = torch.empty_like(x[0])
    for c in range(half):
        for other in range(grid):
            places = [(q, (p, other) if dim == 2 else (other, p)) for q in range(2) for p in range(grid)]
            scale, offset = (
                torch.stack([v[c * 2 + q] for q, _ in places]) for v in (mixer.norm.weight, mixer.norm.bias)
            )
            vector = torch.stack([normed[row, column, q * half + c] for q, (row, column) in places]) * scale + offset
            mixed = mixer.fc2.weight[:, :, 0, 0] @ F.gelu(mixer.fc1.weight[:, :, 0, 0] @ vector + mixer.fc1.bias)
            for value, (q, (row, column)) in zip(mixed + mixer.fc2.bias, places, strict=True):
                expected[q * half + c, row, column] = value
    torch.testing.assert_close(mixer(x)[0], expected, rtol=1e-12, atol=1e-12)


def test_the_published_rule_resizes_the_residual_as_well():
    blocks = {rule: RaftBlock(4, 4, rule, 0.0).double() for rule in ('stream', 'resize', 'tile')}
    for block in blocks.values():
        block.load_state_dict(blocks['stream'].state_dict())
    native, x = torch.randn(1, 4, 4, 4, dtype=torch.float64), torch.randn(1, 4, 6, 5, dtype=torch.float64)
    assert all(torch.equal(block(native), blocks['stream'](native)) for block in blocks.values())
    # Mixers that give zero leave the rule's own effect on the residual.
    for block in blocks.values():
        for layer in (block.vertical.fc2, block.horizontal.fc2, block.mlp.fc2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    low_pass = F.interpolate(F.interpolate(x, (4, 4), mode='bicubic'), (6, 5), mode='bicubic')
    torch.testing.assert_close(blocks['stream'](x), low_pass, rtol=1e-12, atol=1e-12)
    assert torch.equal(blocks['resize'](x), x) and torch.equal(blocks['tile'](x), x)


def test_output_0_is_the_embedding():
    net = slim('RaftMLP').double().eval()
    x = torch.randn(1, 3, 30, 41, dtype=torch.float64)
    torch.testing.assert_close(net(x)[0], net.stem(x), rtol=1e-12, atol=1e-12)
    assert not [*net.stages[0].parameters()]
    assert not net.out_norms and isinstance(
        mb.build_classifier('RaftMLP', arch=slim_arch('RaftMLP')).backbone, nn.Module
    )
    assert {m.drop_prob for m in slim('RaftMLP', drop_path_rate=0.3).modules() if isinstance(m, DropPath)} == {0.3}
    assert [len(stage) for stage in net.drop_path_rates(0.1)] == [0, 3, 2, 1]


def test_weights_of_the_norm_count_channels_in_raft_order():
    norm = RaftNorm(6)
    norm.weight.data = torch.arange(6.0)
    x = torch.randn(1, 6, 2, 2)
    normed = F.layer_norm(x.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), normed * torch.tensor([0.0, 2, 4, 1, 3, 5])[:, None, None])


def test_wrong_values_are_named():
    with pytest.raises(ValueError, match=r"spatial_rule='crop' .* 'stream' or 'tile' or 'resize'"):
        mb.RaftMLP('s', spatial_rule='crop')
    with pytest.raises(ValueError, match='dims are even'):
        mb.RaftMLP(dict(dims=(9, 8, 8, 8), depths=(1, 1, 1, 1)))
