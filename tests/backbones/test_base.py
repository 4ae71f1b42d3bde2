"""What every backbone does for its user, shown on a slim CycleMLP."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mlp_backbones as mb
from mlp_backbones.layers import DropPath

SLIM = dict(dims=(8, 12, 16, 20), depths=(1, 2, 2, 1), mlp_ratios=(2, 2, 2, 2))


def slim(**kwargs):
    return mb.build_backbone('CycleMLP', arch=SLIM, **kwargs)


def loss_of(outputs):
    return sum((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum() for output in outputs)


@pytest.mark.parametrize(('arch', 'millions'), [('b1', 15.2), ('b2', 26.8), ('b3', 38.4), ('b4', 51.8), ('b5', 75.7)])
def test_published_parameter_counts(arch, millions):
    with torch.device('meta'):
        net = mb.build_classifier('CycleMLP', arch=arch)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 97), width=st.integers(1, 97))
def test_any_size_with_no_memory_of_the_last(batch, height, width):
    torch.manual_seed(0)
    net, fresh = slim().eval(), slim().eval()
    fresh.load_state_dict(net.state_dict())
    net(torch.randn(1, 3, 40, 33))
    x = torch.randn(batch, 3, height, width)
    outputs = net(x)
    sides = []
    for side in (height, width):
        # The stem's 7x7 kernel (stride 4, padding 2) needs 3 pixels; smaller images are padded to that.
        sides.append([max((side - 3) // 4 + 1, 1)])
        for _ in range(3):
            sides[-1].append((sides[-1][-1] - 1) // 2 + 1)
    for i, (output, again) in enumerate(zip(outputs, fresh(x), strict=True)):
        assert output.shape == (batch, SLIM['dims'][i], sides[0][i], sides[1][i])
        assert torch.isfinite(output).all() and torch.equal(output, again)
    assert net.out_strides == (4, 8, 16, 32) and net.out_channels == SLIM['dims']


@pytest.mark.parametrize('out_indices', [(0,), (1, 2), (3,), (0, 3), (0, 1, 2, 3)])
def test_out_indices_leave_no_parameter_unused(out_indices):
    net, whole = slim(out_indices=out_indices), slim()
    whole.load_state_dict(net.state_dict(), strict=False)
    x = torch.randn(2, 3, 37, 41)
    outputs = net(x)
    for i, output in zip(out_indices, outputs, strict=True):
        torch.testing.assert_close(output, whole(x)[i])
    loss_of(outputs).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.out_channels == tuple(SLIM['dims'][i] for i in out_indices)


@pytest.mark.parametrize('frozen_stages', range(-1, 5))
def test_frozen_stages(frozen_stages):
    net = slim(frozen_stages=frozen_stages, drop_path_rate=0.5).train()
    for name, parameter in net.named_parameters():
        if name.startswith('stem'):
            frozen = frozen_stages >= 0
        else:
            frozen = int(name.split('.')[1]) < frozen_stages
        assert parameter.requires_grad is not frozen, name
    assert net.stem.training is (frozen_stages < 0)
    for i, stage in enumerate(net.stages):
        assert {m.training for m in stage.modules()} == {i >= frozen_stages}
        assert net.out_norms[str(i)].training is (i >= frozen_stages)
    net.eval()
    assert not any(m.training for m in net.modules())


def test_norm_eval_keeps_batch_norms_in_eval_mode_and_nothing_else():
    class WithBatchNorm(mb.CycleMLP):
        def make_out_norm(self, channels):
            return nn.BatchNorm2d(channels)

    for norm_eval in (False, True):
        net = WithBatchNorm(SLIM, norm_eval=norm_eval).train()
        net(torch.randn(2, 3, 32, 32))
        moved = [bool(norm.running_mean.any()) for norm in net.out_norms.values()]
        assert moved == [not norm_eval] * 4
        assert net.stages[0].blocks[0].training


@pytest.mark.parametrize('frozen_stages', [-1, 2])
def test_checkpointing_changes_no_number(frozen_stages):
    nets = [
        slim(with_cp=with_cp, drop_path_rate=0.4, frozen_stages=frozen_stages).double() for with_cp in (False, True)
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    results = []
    for net in nets:
        torch.manual_seed(1)
        loss = loss_of(net.train()(torch.linspace(0, 1, 4 * 3 * 33 * 47, dtype=torch.float64).view(4, 3, 33, 47)))
        loss.backward()
        results.append([loss.detach()] + [p.grad for p in net.parameters() if p.requires_grad])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-12, atol=1e-12)


def test_checkpointing_saves_what_is_inside_blocks():
    def saved(net):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()), lambda _: None):
            net(torch.randn(1, 3, 64, 64))
        return sum(sizes)

    assert saved(slim(with_cp=True)) < saved(slim()) / 3


def test_drop_path_rises_over_the_whole_network():
    def rates(net):
        return [m.rate for m in net.modules() if isinstance(m, DropPath)]

    assert rates(slim(drop_path_rate=0.5)) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    # The rule is of the network, not of the part of it that is built.
    assert rates(slim(drop_path_rate=0.5, out_indices=(1,))) == pytest.approx([0, 0.1, 0.2])


def test_initial_weights():
    net = mb.build_backbone('CycleMLP', arch='b1')
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert abs(module.weight.mean().item()) < 0.002
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and not module.bias.any()


def test_pickles_and_deep_copies():
    import copy
    import pickle

    net = slim().eval()
    x = torch.randn(1, 3, 20, 20)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x)[3], net(x)[3])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes_and_layouts(dtype):
    net = slim().to(dtype).eval()
    x = torch.randn(2, 3, 40, 33).to(dtype)
    expected = net(x)
    for y in (x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        for a, b in zip(net(y), expected, strict=True):
            assert a.dtype == dtype and torch.equal(a, b)


def test_an_image_of_other_channels_is_named():
    assert len(slim(in_channels=5)(torch.randn(1, 5, 9, 9))) == 4
    with pytest.raises(ValueError, match=r'CycleMLP takes images \[B, 3, H, W\], got \[1, 4, 9, 9\]; set in_channels'):
        slim()(torch.randn(1, 4, 9, 9))
