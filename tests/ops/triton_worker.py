"""The GPU kernels in triton's interpreter, on the CPU; test_triton.py runs pytest on this file with TRITON_INTERPRET=1.

What it proves is the arithmetic, the masks and the bookkeeping of the kernels. What it does not: the tiles and the
autotuner of a GPU (the interpreter has tiles of 16), the tensor cores, and speed. numpy has no bf16: the interpreter
keeps its bits in integers, multiplies these in tl.dot, and cuts where hardware rounds. `_bf16` replaces both.
"""

from functools import partial

import pytest
import torch
from torch.nn import functional as F
from triton import language as tl
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from mlp_backbones.ops import axial_shift, cycle_shift, use_backend
from mlp_backbones.ops import triton as triton_ops
from mlp_backbones.ops.triton import axial_offsets, cycle_offsets, group_norm_gelu, shift_linear
from tests.backbones.slim import loss_of, slim

DATA_LAYOUT_HINTS = [torch.contiguous_format, torch.channels_last]
# Relative and absolute. In half precision: one rounding of what fp32 gives.
BOUNDS = {torch.float32: (1e-5, 1e-5), torch.float16: (2**-11, 1e-5), torch.bfloat16: (2**-8, 1e-5)}
# The plain shift, and the offsets that stand for it.
LAYERS = {
    'cycle-3': (partial(cycle_shift, step_size=3), partial(cycle_offsets, step_size=3)),
    'cycle-4': (partial(cycle_shift, step_size=4), partial(cycle_offsets, step_size=4)),
    'axial-5': (partial(axial_shift, shift_size=5), partial(axial_offsets, shift_size=5)),
    'axial-5-far': (partial(axial_shift, shift_size=5, dilation=3), partial(axial_offsets, shift_size=5, dilation=3)),
}


@pytest.fixture(autouse=True, scope='module')
def _bf16():
    cast_impl, create_dot = InterpreterBuilder.cast_impl, InterpreterBuilder.create_dot

    def round_to_bf16(self, source, dst_type):
        if source.dtype.scalar == tl.float32 and dst_type.scalar == tl.bfloat16:
            bits = torch.from_numpy(source.data.copy()).bfloat16().view(torch.uint16).numpy()
            return TensorHandle(bits, tl.bfloat16)
        return cast_impl(self, source, dst_type)

    def dot_of_values(self, a, b, *args):
        if a.dtype.scalar == tl.bfloat16:
            a, b = cast_impl(self, a, tl.float32), cast_impl(self, b, tl.float32)
        return create_dot(self, a, b, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, 'cast_impl', round_to_bf16)
        patch.setattr(InterpreterBuilder, 'create_dot', dot_of_values)
        yield


def random(*size, dtype=torch.float32, layout=torch.contiguous_format):
    x = torch.randn(size).to(dtype)
    return (x.contiguous(memory_format=layout) if len(size) == 4 else x).requires_grad_()


def check(run, plain, inputs):
    """Result and gradients of ``run`` against those of ``plain`` in float64."""
    got, expected = run(*inputs), plain(*(t.double() for t in inputs))
    rtol, atol = BOUNDS[got.dtype]
    direction = torch.randn_like(got)
    results = got, *torch.autograd.grad(got, inputs, direction)
    references = expected, *torch.autograd.grad(expected, inputs, direction.double())
    for name, a, b in zip(('result', 'x', 'weight', 'bias'), results, references, strict=False):
        assert a.dtype == got.dtype
        report = partial('{}: {}'.format, name)
        torch.testing.assert_close(a.double(), b.double(), rtol=rtol, atol=atol, msg=report)
    return got


def check_shift_linear(layer, size, outs, dim, layout, dtype=torch.float32):
    shift, offsets = LAYERS[layer]
    offsets = offsets(size[1])
    x, weight, bias = random(*size, dtype=dtype, layout=layout), random(outs, size[1], 1, 1, dtype=dtype), random(outs)
    y = check(
        lambda x, weight, bias: shift_linear(x, weight, bias, offsets, dim),
        lambda x, weight, bias: F.conv2d(shift(x, dim=dim), weight, bias),
        (x, weight, bias.detach().to(dtype).requires_grad_()),
    )
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize('dim', [2, 3])
@pytest.mark.parametrize(
    ('layer', 'size', 'outs'),
    [
        ('cycle-3', (3, 7, 1, 1), 5),
        ('cycle-3', (1, 7, 5, 3), 4),
        ('cycle-3', (2, 20, 3, 7), 18),  # several tiles of 16 in all directions
        ('cycle-4', (1, 6, 1, 7), 6),
        ('axial-5', (1, 7, 1, 1), 7),
        ('axial-5', (3, 7, 5, 3), 2),
        ('axial-5', (1, 33, 2, 5), 17),
        ('axial-5-far', (1, 7, 5, 8), 7),  # offsets of up to 6 on a side of 5
    ],
)
def test_shift_linear_is_the_plain_layer(layer, size, outs, dim, layout):
    check_shift_linear(layer, size, outs, dim, layout)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize(('layer', 'dim'), [('cycle-3', 2), ('axial-5', 3)])
def test_shift_linear_in_half_precision_sums_in_fp32(layer, dim, layout, dtype):
    check_shift_linear(layer, (2, 20, 3, 3), 18, dim, layout, dtype)


def test_offsets_may_be_any():
    x, weight, offsets = random(1, 3, 2, 4), random(2, 3, 1, 1), torch.tensor([-4, 100, 2], dtype=torch.int32)
    moved = torch.zeros(1, 3, 2, 4, dtype=torch.float64)
    moved[:, 2, :, :2] = x[:, 2, :, 2:]
    y = shift_linear(x, weight, None, offsets, 3)
    torch.testing.assert_close(y.double(), F.conv2d(moved, weight.double()), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    assert x.grad[:, :2].eq(0).all() and x.grad[..., :2].eq(0).all() and x.grad[0, 2, :, 2:].ne(0).all()


def test_shift_linear_without_bias_on_views():
    x, weight, offsets = random(4, 9, 7, 5), random(6, 14, 1, 1), cycle_offsets(9, 3)
    check(
        lambda x, weight: shift_linear(x[::2, :, 1:], weight[:, 2:11], None, offsets, 2),
        lambda x, weight: F.conv2d(cycle_shift(x[::2, :, 1:], 3, 2), weight[:, 2:11]),
        (x, weight),
    )


@pytest.mark.parametrize('frozen', ['x', 'weight', 'bias'])
def test_frozen_inputs_get_no_gradient(frozen):
    inputs = dict(x=random(1, 4, 2, 3), weight=random(4, 4, 1, 1), bias=random(4))
    inputs[frozen].requires_grad_(False)
    # The gradient of a sum is expanded: it lies in no memory format.
    shift_linear(*inputs.values(), cycle_offsets(4, 3), 3).sum().backward()
    assert {name for name, t in inputs.items() if t.grad is not None} == inputs.keys() - {frozen}


def test_an_empty_batch_is_one():
    inputs = random(0, 7, 2, 3), random(5, 7, 1, 1), random(5)
    y = group_norm_gelu(shift_linear(*inputs, cycle_offsets(7, 3), 2), inputs[2], inputs[2])
    assert y.shape == (0, 5, 2, 3)
    assert all(not grad.any() for grad in torch.autograd.grad(y.sum(), inputs))


def test_shift_linear_does_not_spread_infinities():
    x = torch.zeros(1, 3, 1, 3)
    x[0, 0, 0, 1] = torch.inf
    y = shift_linear(x, torch.ones(1, 3, 1, 1), None, cycle_offsets(3, 3), 3)
    assert y.flatten().tolist() == [0, torch.inf, 0]


def test_a_gradient_may_lie_the_other_way():
    x, weight = random(2, 7, 3, 4, layout=torch.channels_last), random(5, 7, 1, 1)
    direction = torch.randn(2, 5, 3, 4)
    y = shift_linear(x, weight, None, cycle_offsets(7, 3), 3)
    expected = F.conv2d(cycle_shift(x.double(), 3, 3), weight.double())
    got = torch.autograd.grad(y, (x, weight), direction)
    for a, b in zip(got, torch.autograd.grad(expected, (x, weight), direction.double()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_second_derivative_is_refused():
    x, weight, bias = random(1, 4, 2, 3), random(4, 4, 1, 1), random(4)
    for y in (shift_linear(x, weight, bias, cycle_offsets(4, 3), 2), group_norm_gelu(x, bias, bias)):
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match='no autograd formula'):
            dx.sum().backward()


def check_group_norm(size, gelu, layout, dtype=torch.float32, x=None):
    x = random(*size, dtype=dtype, layout=layout) if x is None else x
    y = check(
        lambda *inputs: group_norm_gelu(*inputs, 1e-5, gelu),
        lambda *inputs: (F.gelu if gelu else torch.clone)(F.group_norm(inputs[0], 1, *inputs[1:], 1e-5)),
        (x, random(size[1], dtype=dtype), random(size[1], dtype=dtype)),
    )
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize(
    ('size', 'gelu'),
    # Of one part (64 elements) to 17, merged in two steps.
    [((3, 7, 1, 1), True), ((1, 7, 1, 7), False), ((3, 13, 5, 3), True), ((3, 5, 5, 3), False), ((1, 13, 9, 9), True)],
)
def test_group_norm_gelu_is_torch(size, gelu, layout):
    check_group_norm(size, gelu, layout)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
def test_group_norm_gelu_in_half_precision_computes_in_fp32(layout, dtype):
    check_group_norm((2, 13, 5, 3), True, layout, dtype)


def test_variance_does_not_cancel():
    x = torch.randn(2, 12, 9, 11)
    x[0] += 1000  # the squares of x need 20 bits more than its variance
    x[1, 6:] += 100  # parts whose means are far apart
    x.requires_grad_()
    weight, bias = torch.ones(12), torch.zeros(12)
    y = group_norm_gelu(x, weight, bias, gelu=False)
    expected = F.group_norm(x.double(), 1, weight.double(), bias.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=2e-4)  # x itself is good to 3e-5


def test_a_constant_map_becomes_the_bias():
    bias = random(3)
    y = group_norm_gelu(torch.full((2, 3, 5, 5), 7.0), torch.ones(3), bias)
    torch.testing.assert_close(y, F.gelu(bias).view(1, 3, 1, 1).expand_as(y))


def test_weight_and_bias_may_be_of_another_dtype():
    x, weight, bias = random(2, 5, 3, 3, dtype=torch.float16), random(5), random(5)
    y = group_norm_gelu(x, weight, bias)
    expected = F.gelu(F.group_norm(x.double(), 1, weight.double(), bias.double()))
    torch.testing.assert_close(y.double(), expected, rtol=2**-11, atol=1e-5)
    y.float().sum().backward()
    assert [t.grad.dtype for t in (x, weight, bias)] == [torch.float16, torch.float32, torch.float32]


def mixer(x, weight, bias, offsets, dim):
    return group_norm_gelu(shift_linear(x, weight, bias, offsets, dim), bias, bias)


@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize('autocast', [False, True], ids=['fp32', 'autocast'])
def test_a_compiled_graph_is_whole(autocast, layout):
    inputs = random(2, 7, 5, 3, layout=layout), random(7, 7, 1, 1), random(7)
    results = []
    for run in (mixer, torch.compile(mixer, backend='aot_eager', fullgraph=True)):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            y = run(*inputs, axial_offsets(7, 5), 2)
        assert y.dtype == (torch.bfloat16 if autocast else torch.float32)
        assert y.is_contiguous(memory_format=layout)
        results.append((y, *torch.autograd.grad(y.float().square().sum(), inputs)))
    assert {t.dtype for t in results[0][1:]} == {torch.float32}
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
def test_operators_keep_torch_s_contract(layout):
    ops, offsets = torch.ops.mlp_backbones, cycle_offsets(6, 3)
    x, grad = random(2, 6, 3, 2, layout=layout), random(2, 4, 3, 2, layout=layout).detach()
    weight, bias, moments = random(4, 6, 1, 1), random(4), torch.rand(2)
    torch.library.opcheck(ops.shift_linear, (x, weight, bias, offsets, 2))
    torch.library.opcheck(ops.shift_linear, (x, weight, None, offsets, 3))
    torch.library.opcheck(ops.shift_linear_input_grad, (grad, weight.detach(), offsets, 2))
    torch.library.opcheck(ops.shift_linear_weight_grad, (grad, x.detach(), offsets, 3))
    weight, bias = random(6), random(6)
    torch.library.opcheck(ops.group_norm_gelu, (x, weight, bias, 1e-5, True))
    inputs = (t.detach() for t in (x, x, weight, bias))
    torch.library.opcheck(ops.group_norm_gelu_grad, (*inputs, moments, moments, True))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(x=torch.zeros(7, 2, 2)), r'\[B, C, H, W\]'),
        (dict(x=torch.zeros(1, 7, 2, 2).double()), 'float64'),
        (dict(weight=torch.zeros(7, 6, 1, 1)), r'weight \[7, 6, 1, 1\]'),
        (dict(bias=torch.zeros(6)), r'bias \[6\]'),
        (dict(offsets=cycle_offsets(6, 3)), r'offsets \[6\]'),
        (dict(offsets=torch.zeros(7)), 'int32 offsets'),
        (dict(weight=torch.zeros(7, 7, 1, 1).half()), 'of one dtype'),
        (dict(dim=1), 'dim=1'),
    ],
)
def test_bad_input_of_shift_linear_is_named(change, message):
    good = dict(
        x=torch.zeros(1, 7, 2, 2), weight=torch.zeros(7, 7, 1, 1), bias=None, offsets=cycle_offsets(7, 3), dim=2
    )
    with pytest.raises(ValueError, match=message):
        shift_linear(**{**good, **change})


def test_bad_input_of_the_others_is_named():
    with pytest.raises(ValueError, match='step_size=0'):
        cycle_offsets(7, 0)
    with pytest.raises(ValueError, match='shift_size=4 and dilation=1'):
        axial_offsets(7, 4)
    x, seven, six = torch.zeros(1, 7, 2, 2), torch.zeros(7), torch.zeros(6)
    with pytest.raises(ValueError, match=r'got \[7\] in torch.float32 on cpu and \[6\]'):
        group_norm_gelu(x, seven, six)
    with pytest.raises(ValueError, match=r'got \[7\] in torch.float32'):
        group_norm_gelu(seven, seven, seven)


@pytest.mark.parametrize('layout', DATA_LAYOUT_HINTS, ids=['nchw', 'channels_last'])
@pytest.mark.parametrize('family', ['ASMLP', 'CycleMLP'])
def test_networks_run_on_the_kernels_when_they_are_pinned(family, layout, monkeypatch):
    net = slim(family)
    net.memory_format = layout
    calls = []
    for name in ('shift_linear', 'group_norm_gelu'):
        kernel = getattr(triton_ops, name)
        monkeypatch.setattr(triton_ops, name, lambda *args, kernel=kernel: calls.append(kernel) or kernel(*args))
    x = torch.randn(2, 3, 9, 14)
    results = []
    for backend in ('triton', 'plain'):
        net.zero_grad()
        with use_backend(backend):
            outputs = net(x)
            loss_of(outputs).backward()
        results.append([*outputs, *(p.grad for p in net.parameters())])
    assert len(set(calls)) == (2 if family == 'ASMLP' else 1)
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
