"""What every registered backbone does for its user. It needs torch and mmengine alone, of either line."""

import copy
import pickle
from inspect import signature

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlp_backbones.backbones import FAMILIES
from mlp_backbones.layers import DropPath
from mlp_backbones.ops import memory_format, use_backend
from tests.backbones.slim import OUT_INDICES, loss_of, slim
from tests.conftest import DEVICE

pytestmark = pytest.mark.parametrize('family', FAMILIES)


def image(*size, dtype=torch.float32):
    return torch.randn(*size, dtype=torch.float64).to(dtype)


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 97), width=st.integers(1, 97))
def test_any_size_with_no_memory_of_the_last(family, batch, height, width):
    torch.manual_seed(0)
    net, fresh = slim(family).eval(), slim(family).eval()
    fresh.load_state_dict(net.state_dict())
    net(image(1, 3, 40, 33))
    x = image(batch, 3, height, width)
    for channels, stride, output, again in zip(net.out_channels, net.out_strides, net(x), fresh(x), strict=True):
        assert output.shape[:2] == (batch, channels)
        for side, out_side in zip((height, width), output.shape[2:], strict=True):
            assert out_side >= 1 and abs(out_side - side / stride) < 1
        assert torch.isfinite(output).all() and torch.equal(output, again)


@pytest.mark.parametrize('size', [(1, 1), (1, 97), (97, 1), (2, 3)])
def test_the_smallest_images(family, size):
    assert [min(out.shape) for out in slim(family).eval()(image(1, 3, *size))] == [1] * 4


def test_images_of_a_batch_do_not_see_each_other(family):
    net = slim(family).double().eval()
    x = image(3, 3, 37, 50, dtype=torch.float64)
    for whole, *alone in zip(net(x), *(net(x[i : i + 1]) for i in range(3)), strict=True):
        torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-10, atol=1e-10)


def test_padding_is_part_of_the_image(family):
    """No mask hides it: a padded image gives what the same larger image would, and other numbers than alone."""
    net = slim(family).double().eval()
    for name, parameter in net.named_parameters():
        if name.endswith(('bias', 'gamma')):
            nn.init.normal_(parameter, std=0.1)  # without biases zeros stay zeros; layer scales begin near 0
    small = image(1, 3, 68, 68, dtype=torch.float64)  # not whole tiles of a fixed grid
    padded = nn.functional.pad(small, (0, 64, 0, 64))
    # RaftMLP's first output, patches of pixels, has zeros outside of the image anyway.
    first = int(family == 'RaftMLP')
    for alone, with_padding in zip(net(small)[first:], net(padded)[first:], strict=True):
        inside = with_padding[:, :, : alone.shape[2], : alone.shape[3]]
        assert not torch.allclose(alone[:, :, -1, -1], inside[:, :, -1, -1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('out_indices', OUT_INDICES)
def test_out_indices_leave_no_parameter_unused(family, out_indices):
    net, whole = slim(family, out_indices=out_indices).double(), slim(family).double()
    whole.load_state_dict(net.state_dict(), strict=False)
    x = image(2, 3, 37, 41, dtype=torch.float64)
    expected, outputs = whole.eval()(x), net.eval()(x)
    for i, output in zip(out_indices, outputs, strict=True):
        torch.testing.assert_close(output, expected[i])
    loss_of(net.train()(x)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    assert net.out_channels == tuple(whole.out_channels[i] for i in out_indices)
    assert net.out_strides == tuple(whole.out_strides[i] for i in out_indices)


@pytest.mark.parametrize('out_norm', [True, False])
def test_feature_info_names_the_modules_of_the_outputs(family, out_norm):
    net, seen = slim(family, out_indices=(1, 3), out_norm=out_norm).eval(), []
    for info in net.feature_info:
        net.get_submodule(info['module']).register_forward_hook(lambda module, args, y: seen.append(y))
    x = image(1, 3, 45, 50)
    for info, output, y in zip(net.feature_info, net(x), seen, strict=True):
        assert torch.equal(output, y) and info['num_chs'] == output.shape[1]
    assert [info['reduction'] for info in net.feature_info] == list(net.out_strides)


def test_gradients_reach_every_parameter(family):
    # Drawn weights, as zeros that an initialisation leaves may stop a gradient.
    net = slim(family, drop_path_rate=0.0).double().train()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    loss_of(net(image(2, 3, 67, 70, dtype=torch.float64))).backward()
    assert [
        name for name, p in net.named_parameters() if not p.grad.any() and not _before_a_batch_norm(net, name)
    ] == []


def _before_a_batch_norm(net, name):
    """A bias that a norm takes away again has a gradient of zero."""
    has_norms = any(isinstance(m, _BatchNorm) for m in net.modules())
    return has_norms and name.endswith('proj.bias') and 'mixer' not in name


@pytest.mark.parametrize('frozen_stages', range(-1, 5))
def test_frozen_stages_stay_as_they_are(family, frozen_stages):
    net = slim(family, frozen_stages=frozen_stages, drop_path_rate=0.5)
    net.load_state_dict(slim(family).state_dict())

    def is_frozen(name):
        return frozen_stages >= 0 if name.startswith('stem') else int(name.split('.')[1]) < frozen_stages

    for name, parameter in net.named_parameters():
        assert parameter.requires_grad is not is_frozen(name), name
    # From the start, and when asked to train.
    for one in (net, copy.deepcopy(net).train()):
        for name, module in one.named_modules():
            if name.count('.') > 1 or name == 'stem':
                assert module.training is not is_frozen(name), name
    before = copy.deepcopy(net.state_dict())
    if frozen_stages < 4:
        trained = [p for p in net.parameters() if p.requires_grad]
        loss_of(net(image(2, 3, 64, 64))).backward()
        torch.optim.SGD(trained, lr=0.1).step()
    for name, tensor in net.state_dict().items():
        if is_frozen(name):
            assert torch.equal(tensor, before[name]), name
        elif 'running' in name:
            assert not torch.equal(tensor, before[name]), name
    net.eval()
    assert not any(m.training for m in net.modules())


@pytest.mark.parametrize('norm_eval', [False, True])
def test_norm_eval_keeps_running_statistics_and_nothing_else(family, norm_eval):
    net = slim(family, norm_eval=norm_eval)
    before = copy.deepcopy(net.state_dict())
    net(image(2, 3, 64, 64))
    for name, tensor in net.state_dict().items():
        if 'running' in name or 'num_batches' in name:
            assert torch.equal(tensor, before[name]) is norm_eval, name
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert {m.training for m in norms} <= {not norm_eval}
    assert {m.training for m in net.modules() if m not in norms} == {True}


@pytest.mark.parametrize('frozen_stages', [-1, 2])
def test_checkpointing_changes_no_number(family, frozen_stages):
    results = []
    start = slim(family).double().state_dict()
    for with_cp in (False, True):
        net = slim(family, with_cp=with_cp, drop_path_rate=0.4, frozen_stages=frozen_stages).double().train()
        net.load_state_dict(start)
        torch.manual_seed(1)
        loss = loss_of(net(torch.linspace(0, 1, 4 * 3 * 43 * 47, dtype=torch.float64).sin().view(4, 3, 43, 47)))
        loss.backward()
        grads = [p.grad for p in net.parameters() if p.requires_grad]
        results.append([loss.detach(), *grads, *(b for n, b in net.named_buffers())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-11, atol=1e-11)


def test_checkpointing_takes_several_backward_passes(family):
    net = slim(family, with_cp=True).train()
    outputs = net(image(2, 3, 37, 41))
    parameters = [p for name, p in net.named_parameters() if not name.startswith('out_norms')]
    first, second = (torch.autograd.grad(loss_of(outputs), parameters, retain_graph=keep) for keep in (True, False))
    assert all(map(torch.equal, first, second))


def test_checkpointing_saves_what_is_inside_blocks(family):
    def saved(net):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()), lambda _: None):
            net(image(1, 3, 64, 64))
        return sum(sizes)

    assert saved(slim(family, with_cp=True)) < 0.6 * saved(slim(family))


def test_drop_path_rises_from_zero_to_its_rate(family):
    net = slim(family, drop_path_rate=0.5)
    assert max(m.drop_prob for m in net.modules() if isinstance(m, DropPath)) == 0.5
    least = 0.5 if net.constant_drop_path else 0
    assert min(m.drop_prob for m in net.modules() if isinstance(m, DropPath)) == least
    net.train()
    x = image(2, 3, 40, 40)
    assert not torch.equal(net(x)[3], net(x)[3])
    # The rule is of the network, not of the part of it that is built.
    part = slim(family, drop_path_rate=0.5, out_indices=(2,))
    for name, module in part.named_modules():
        if isinstance(module, DropPath):
            assert module.drop_prob == net.get_submodule(name).drop_prob


def test_depths_of_layers_rise_from_stem_to_outputs(family):
    net = slim(family)
    _, num_layers = net.get_layer_depth(next(net.named_parameters())[0])
    depths = [net.get_layer_depth(name)[0] for name, _ in net.named_parameters()]
    assert depths == sorted(depths) and depths[0] == 0 and depths[-1] >= num_layers - 2
    assert set(range(num_layers - 1)) <= set(depths) <= set(range(num_layers))
    assert net.get_layer_depth('head.fc.weight', prefix='backbone.') == (num_layers - 1, num_layers)
    name = next(net.stages.named_parameters())[0]
    assert net.get_layer_depth(f'backbone.stages.{name}', prefix='backbone.') == (1, num_layers)
    with pytest.raises(ValueError, match=r"param_name='backbone\.no' is not a parameter of this"):
        net.get_layer_depth('backbone.no', prefix='backbone.')


def test_pickles_and_deep_copies(family):
    net = slim(family).eval()
    x = image(1, 3, 20, 20)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x)[3], net(x)[3])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes_and_layouts(family, dtype):
    net = slim(family).to(dtype).eval()
    x = image(2, 3, 40, 33, dtype=dtype)
    expected = net(x)
    for y in (x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        for a, b in zip(net(y), expected, strict=True):
            assert a.dtype == dtype
            torch.testing.assert_close(a, b)
    assert all(out.is_contiguous() for out in expected)
    # Channels last in, channels last out, the weights in either layout.
    net = net.to(memory_format=torch.channels_last)
    for a, b in zip(net(x.contiguous(memory_format=torch.channels_last)), expected, strict=True):
        assert a.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(a, b)


def test_memory_format_that_a_network_computes_in(family):
    """channels_last on a CPU, in place of NCHW, where it is faster: without gradients and in half precision."""
    net, found = slim(family), []
    net.stem.register_forward_pre_hook(lambda stem, args: found.append(memory_format(args[0])))
    x = image(2, 3, 40, 33)
    for gradients, dtype in ((True, None), (False, None), (True, torch.bfloat16)):
        with torch.set_grad_enabled(gradients), torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=dtype is not None):
            net(x)
    fast = net.cpu_format if net.cpu_format and DEVICE == 'cpu' else net.memory_format
    assert found == [net.memory_format, fast, fast]
    assert (net.cpu_format is not None) == (family in ('ASMLP', 'ShiftViT'))


def test_autocast_leaves_float64_alone(family):
    net = slim(family).double().eval()
    x = image(2, 3, 40, 33, dtype=torch.float64)
    expected = net(x)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        assert all(map(torch.equal, net(x), expected))


# torch 2.1 has only bf16 on CPUs.
@pytest.mark.parametrize('dtype', [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.newer)])
def test_autocast_trains_close_to_float32(family, dtype):
    net = slim(family).train()
    x = image(2, 3, 64, 48)
    torch.manual_seed(1)
    expected = net(x)
    torch.manual_seed(1)
    with torch.autocast(DEVICE, dtype=dtype):
        outputs = net(x)
    for a, b in zip(outputs, expected, strict=True):
        # A vector that two experts fit alike may go to the other one.
        assert ((a.float() - b).norm() / b.norm()) < (0.5 if family == 'SparseMLP' else 0.05)
    loss_of([out.float() for out in outputs]).backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.dtype == torch.float32 for p in net.parameters())


def test_an_image_of_other_channels_is_named(family):
    assert len(slim(family, in_channels=5).eval()(image(1, 5, 9, 9))) == 4
    with pytest.raises(ValueError, match=rf'{family} takes images \[B, 3, H, W\], got \[1, 4, 9, 9\]; set in_channels'):
        slim(family)(image(1, 4, 9, 9))


@settings(max_examples=5, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 97), width=st.integers(1, 97))
def test_every_backend_of_the_cpu_gives_the_same_numbers(family, batch, height, width):
    torch.manual_seed(0)
    net = slim(family).double().eval()
    x = image(batch, 3, height, width, dtype=torch.float64)

    def run(name: str) -> list[torch.Tensor]:
        net.zero_grad()
        with use_backend(name):
            outputs = net(x)
            loss_of(outputs).backward()
        return [*outputs, *(p.grad for p in net.parameters())]

    for got, expected in zip(run('folded'), run('plain'), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11 * expected.abs().max().item())


def test_fusing_changes_no_number_and_ends_training(family):
    net = slim(family).double()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_().abs_().add_(0.1) if 'running_var' in name else tensor.normal_(std=0.3)
    x = image(2, 3, 41, 58, dtype=torch.float64)
    expected = net.eval()(x)
    # The second call changes nothing; without gradients there are other paths.
    for with_gradients in (True, False):
        assert net.fuse() is net
        with torch.set_grad_enabled(with_gradients):
            for got, wanted in zip(net(x), expected, strict=True):
                torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11 * wanted.abs().max().item())
    left = [name for name, module in net.named_modules() if isinstance(module, _BatchNorm)]
    assert all(name.startswith('out_norms.') for name in left)
    assert not any(p.requires_grad for p in net.parameters())
    with pytest.raises(RuntimeError, match=f'this {family} was fused for inference and cannot train: build it anew'):
        net.train()
    assert net.eval() is net


@pytest.mark.parametrize(
    'norm_cfg',
    [dict(type='GN', num_groups=2), dict(type='BN', affine=False), dict(type='BN', track_running_stats=False)],
)
def test_fusing_knows_other_norms(family, norm_cfg):
    if 'norm_cfg' not in signature(FAMILIES[family]).parameters:
        with pytest.raises(ValueError, match='norm_cfg'):
            slim(family, norm_cfg=norm_cfg)
        return
    net = slim(family, norm_cfg=norm_cfg).double().eval()
    x = image(2, 3, 65, 65, dtype=torch.float64)
    fused = copy.deepcopy(net).fuse()
    for with_gradients in (True, False):
        with torch.set_grad_enabled(with_gradients):
            for got, wanted in zip(fused(x), net(x), strict=True):
                torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
