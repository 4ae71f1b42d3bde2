"""The same numbers, whatever watches a network or runs it: hooks, wrapped layers, transforms, tracers."""

import copy
import re
from itertools import product

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, prune
from torchvision.models.feature_extraction import create_feature_extractor

from mlp_backbones.backbones import FAMILIES
from mlp_backbones.compat import TORCH
from mlp_backbones.ops import use_backend
from tests.backbones.slim import loss_of, slim

pytestmark = [pytest.mark.slow, pytest.mark.parametrize('family', FAMILIES)]
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def make(family, **kwargs):
    torch.manual_seed(0)
    net = slim(family, **kwargs).double().eval()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            # Biases above 0 keep ReLUs from being 0 everywhere.
            tensor.normal_(std=0.3) if name.endswith('weight') else tensor.uniform_(0.5, 2)
    return net


def image(*size):
    return torch.randn(*size, dtype=torch.float64)


def close(got, expected):
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10 * (1 + b.abs().max().item() if b.numel() else 1))


class Added(nn.Module):
    """A layer beside a frozen one, as LoRA has it, with the weights of that."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.extra = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    weight = property(lambda self: self.base.weight)
    bias = property(lambda self: self.base.bias)

    def forward(self, x):
        return self.base(x) * (1 + self.extra)


@pytest.mark.parametrize('fused', [False, True])
def test_hooks_see_every_module_and_what_it_returned(family, fused):
    net = make(family)
    net = net.fuse() if fused else net
    x, kept, seen = image(2, 3, 40, 33), [], set()
    expected = net(x)

    def keep(module, inputs, output):
        seen.add(module)
        kept.extend((tensor, tensor.clone()) for tensor in (*inputs, output) if isinstance(tensor, torch.Tensor))

    handles = [module.register_forward_hook(keep) for module in net.modules()]
    with torch.no_grad():
        close(net(x), expected)
    assert all(torch.equal(tensor, before) for tensor, before in kept)
    silent = [name for name, module in net.named_modules() if module not in seen]
    assert [n for n in silent if not n.endswith(('blocks', 'stages', 'out_norms'))] == []
    for handle in handles:
        handle.remove()
    # Without hooks, the input is left alone as well.
    before = x.clone()
    with torch.no_grad():
        net(x)
    assert torch.equal(x, before)


def test_hooks_of_all_modules_see_every_layer(family):
    net, seen = make(family), set()
    handle = nn.modules.module.register_module_forward_pre_hook(lambda module, _: seen.add(module))
    try:
        with torch.no_grad():
            net(image(1, 3, 40, 33))
    finally:
        handle.remove()
    assert [name for name, m in net.named_modules() if isinstance(m, LAYERS) and m not in seen] == []


@pytest.mark.parametrize('change', ['wrap', 'parametrize', 'prune', 'hook', 'forward'])
def test_changed_layers_are_called_as_layers(family, change):
    """With layers of every kind changed, fast and plain implementations, training and fusing agree."""
    x = image(2, 3, 36, 40)
    net = make(family)
    # One of each kind: the last block's, so that little lies behind it.
    kinds = {
        re.sub(r'(stages|blocks)\.\d+', '', name): name for name, m in net.named_modules() if isinstance(m, LAYERS)
    }
    # Fast implementations ask the same question of every layer; which layers they ask, two kinds of change show.
    in_turn = change in ('wrap', 'hook')
    for names in [[name] for name in kinds.values()] if in_turn else [list(kinds.values())]:
        changed = copy.deepcopy(net)
        for name in names:
            parent, _, attribute = name.rpartition('.')
            parent, layer = changed.get_submodule(parent), changed.get_submodule(name)
            if change == 'wrap':
                setattr(parent, attribute, Added(layer))
            elif change == 'parametrize':
                nn.utils.parametrize.register_parametrization(layer, 'weight', Doubled())
            elif change == 'prune':
                prune.custom_from_mask(layer, 'weight', torch.rand_like(layer.weight) < 0.5)
            elif change == 'hook':
                layer.register_forward_hook(lambda module, inputs, output: output * 1.1)
            else:
                layer.forward = lambda x, layer=layer: type(layer).forward(layer, x) * 1.1
        with use_backend('plain'):
            expected = changed(x)
        assert any(not torch.equal(a, b) for a, b in zip(expected, net(x), strict=True)), names
        with torch.no_grad():
            close(changed(x), expected)
        close(changed(x), expected)
        if change == 'wrap':
            loss_of(changed(x)).backward()
            assert changed.get_submodule(names[0]).extra.grad is not None, names
        close(changed.fuse()(x), expected)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def test_weight_norm_trains(family):
    net = make(family)
    layers = [m for m in net.modules() if isinstance(m, LAYERS)]
    for layer in layers:
        parametrizations.weight_norm(layer)
    loss_of(net(image(2, 3, 33, 40))).backward()
    assert all(layer.parametrizations.weight.original0.grad is not None for layer in layers)


def test_transforms_of_torch_func(family):
    net = make(family, with_cp=True)
    x = image(2, 3, 36, 40)
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    buffers = dict(net.named_buffers())

    def loss(p, img):
        return loss_of(functional_call(net, (p, buffers), (img[None],)))

    per_sample = vmap(grad(loss), (None, 0))(parameters, x)
    for i in range(2):
        net.zero_grad()
        loss_of(net(x[i : i + 1])).backward()
        close([g[i] for g in per_sample.values()], [p.grad for p in net.parameters()])
    direction = image(2, 3, 36, 40)
    _, forward = jvp(lambda v: loss_of(net(v)), (x,), (direction,))
    y = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(net(y)), y)
    close([forward], [(gradient * direction).sum()])
    with torch.autograd.forward_ad.dual_level(), torch.no_grad():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        close([torch.autograd.forward_ad.unpack_dual(loss_of(net(dual))).tangent], [forward])


def test_second_derivatives(family):
    net = make(family)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, inputs, output: nn.functional.softplus(inputs[0]))
    x, direction = image(1, 3, 36, 33), image(1, 3, 36, 33)

    def gradient(y, **kwargs):
        return torch.autograd.grad(sum((out**2).mean() for out in net(y)), y, **kwargs)[0]

    y = x.clone().requires_grad_()
    (got,) = torch.autograd.grad((gradient(y, create_graph=True) * direction).sum(), y)
    step = 1e-6
    ahead, behind = (gradient((x + sign * step * direction).requires_grad_()) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    assert (got - expected).norm() < 1e-3 * expected.norm()


def test_fx_and_jit_graphs_and_feature_extractors(family):
    net = make(family, with_cp=True)
    traced = torch.fx.symbolic_trace(net)
    for size in [(2, 3, 40, 33), (1, 3, 64, 64), (1, 3, 7, 90)]:
        x = image(*size)
        close(traced(x), net(x))
    x = image(2, 3, 64, 48)
    with torch.no_grad():
        other = image(2, 3, 64, 48)
        close(torch.jit.trace(net, x, check_trace=False)(other), net(other))
    if family == 'SparseMLP':
        with pytest.raises(RuntimeError, match='cannot trace the auxiliary loss of SparseMLP'):
            torch.fx.symbolic_trace(net.train())
        return
    found = create_feature_extractor(net, {'stages.1': 'a'})(x)['a']
    kept = []
    net.stages[1].register_forward_hook(lambda m, inputs, output: kept.append(output))
    net(x)
    close([found], kept)
    traced = torch.fx.symbolic_trace(net.train())
    traced(x)


def test_an_empty_batch(family):
    if family == 'ActiveMLP' and TORCH < (2, 2):
        pytest.skip(
            'torch 2.1 cannot pad an empty batch: its users get an error of torch where later ones get empty maps'
        )
    net = make(family).train()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # torch refuses to train them without values
    x = image(0, 3, 40, 33)
    for name in ('plain', 'folded'):
        with use_backend(name):
            for mode in (True, False):
                with torch.set_grad_enabled(mode):
                    assert [out.shape for out in net(x)] == [(0, *out.shape[1:]) for out in net(image(2, 3, 40, 33))]
            loss_of(net(x)).backward()
    assert all(p.grad is not None and not p.grad.any() for p in net.parameters())
    assert torch.isfinite(torch.as_tensor(getattr(net, 'auxiliary_loss', 0.0)))


def strange(tensor):
    """The same numbers, channels last by their order in memory, and not by the stride of the single image."""
    return tensor.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)


DATA_LAYOUT_HINTS = (
    torch.Tensor.contiguous,
    lambda tensor: tensor.contiguous(memory_format=torch.channels_last),
    strange,
)


@pytest.mark.parametrize('training', [False, True])
def test_gradients_of_one_image_in_every_layout(family, training):
    """torch 2.11's BatchNorm gives wrong ones on a CPU for some layouts of the input and of the incoming gradient."""
    net = make(family).train(training)
    x = image(1, 3, 68, 70)
    weights = [image(*out.shape) for out in net(x)]
    directions = [image(*tensor.shape) for tensor in (x, *net.parameters())]

    def loss(step):
        twin = copy.deepcopy(net)
        with torch.no_grad():
            for p, direction in zip(twin.parameters(), directions[1:], strict=True):
                p += step * direction
            torch.manual_seed(1)
            return sum((out * w).sum() for out, w in zip(twin(x + step * directions[0]), weights, strict=True))

    step = 1e-7
    expected = (loss(step) - loss(-step)) / (2 * step)
    for of_image, of_gradient in product(DATA_LAYOUT_HINTS, DATA_LAYOUT_HINTS):
        torch.manual_seed(1)
        y = of_image(x).requires_grad_()
        inputs = [y, *net.parameters()]
        grads = torch.autograd.grad(net(y), inputs, [of_gradient(w) for w in weights])
        got = sum((g * direction).sum() for g, direction in zip(grads, directions, strict=True))
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)
