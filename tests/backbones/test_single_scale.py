"""ResMLP and gMLP: parameters, first values, and the two codes that ResMLP's files come from."""

import pytest
import torch
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones.gmlp import SpatialGate
from mlp_backbones.checkpoints import convert, find_state_dict, identify, load_published
from mlp_backbones.checkpoints.key_maps import file_names
from mlp_backbones.layers import DropPath, PositionLinear
from tests.backbones.slim import slim, slim_arch
from tests.conftest import reference_state

PARAMETERS = {
    'resmlp_s12': 15_350_872,
    'resmlp_s24': 30_020_680,
    'resmlp_s36': 44_690_488,
    'resmlp_b24': 129_138_280,
    'gmlp_ti16': 5_867_328,
    'gmlp_s16': 19_422_656,
    'gmlp_b16': 73_075_392,
}


@pytest.mark.parametrize(('name', 'parameters'), PARAMETERS.items())
def test_published_parameter_counts(name, parameters):
    with torch.device('meta'):
        net = mb.build_classifier(name)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_position_linear_one_by_one():
    mixer = PositionLinear(3, 'tile').double()
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    weight, bias = mixer.weight[:, :, 0, 0], mixer.bias
    expected = torch.empty_like(x)
    for image in range(2):
        for channel in range(4):
            expected[image, channel] = (weight @ x[image, channel].flatten() + bias).view(3, 3)
    torch.testing.assert_close(mixer(x), expected, rtol=1e-12, atol=1e-12)


def test_the_gate_multiplies_the_first_half():
    gate = SpatialGate(2, nn.Identity())
    gate.norm = nn.Identity()
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(gate(x), x[:, :2] * x[:, 2:])


@pytest.mark.parametrize('family', ['ResMLP', 'GMLP'])
def test_two_native_tiles_side_by_side_are_those_of_the_two_alone(family):
    net = slim(family).double().eval()
    left, right = torch.randn(2, 1, 3, 16, 16, dtype=torch.float64)
    both = net(torch.cat([left, right], 3))
    for together, *alone in zip(both, net(left), net(right), strict=True):
        torch.testing.assert_close(together, torch.cat(alone, 3), rtol=1e-13, atol=1e-13)


def test_first_values():
    for arch, scale in (('s12', 0.1), ('s24', 1e-5), ('s36', 1e-6), ('b24', 1e-6)):
        with torch.device('meta'):
            assert mb.build_backbone('ResMLP', arch=arch).arch['layer_scale'] == scale
    net = mb.ResMLP(slim_arch('ResMLP') | dict(layer_scale=1e-5), drop_path_rate=0.2)
    block = net.stages[0].blocks[0]
    assert (block.gamma_1 == 1e-5).all() and (block.gamma_2 == 1e-5).all() and (block.norm1.alpha == 1).all()
    assert {m.drop_prob for m in net.modules() if isinstance(m, DropPath)} == {0.2}
    for gate in (m for m in slim('GMLP').modules() if isinstance(m, SpatialGate)):
        assert gate.proj.weight.std().item() == pytest.approx(1e-6, rel=0.3) and (gate.proj.bias == 1).all()


def timm_state() -> dict[str, torch.Tensor]:
    """A classifier of ResMLP with the names and shapes of timm's files."""
    state = reference_state('resmlp_s12_cls')
    with torch.device('meta'):
        net = mb.build_classifier('resmlp_s12')
    names = [name.removeprefix('backbone.').replace('out_norms.11.', 'norm.') for name in net.state_dict()]
    official, timm = file_names('ResMLP', names)
    assert set(official.values()) == set(state)
    tensors = {timm[name]: state[official[name]] for name in names}
    return {k: t.view(1, 1, -1) if k.endswith(('alpha', 'beta')) else t for k, t in tensors.items()}


def test_files_of_timm():
    state = timm_state()
    named = {'stem.proj.weight', 'blocks.3.linear_tokens.bias', 'blocks.0.mlp_channels.fc1.weight', 'blocks.11.ls2'}
    assert named <= set(state)
    assert state['norm.alpha'].shape == (1, 1, 384)
    identity = identify(state)
    assert (identity.family, identity.arch) == ('ResMLP', 's12')
    with torch.device('meta'):
        nets = [mb.build_classifier('resmlp_s12') for _ in range(2)]
    nets = [net.to_empty(device='cpu').double() for net in nets]
    for net, given in zip(nets, (reference_state('resmlp_s12_cls'), state), strict=True):
        report = load_published(net, given)
        assert not report.missing and not report.unexpected
    for a, b in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert torch.equal(a, b)
    # Taken back, they are as the paper's authors publish them.
    back = find_state_dict(convert(state, 'official')[0])
    official = reference_state('resmlp_s12_cls')
    assert set(back) == set(official) and all(torch.equal(back[key], official[key]) for key in official)
