"""GroupNorm of one group and GELU: many programs a sample, where torch launches one."""

import torch
import triton
from torch import Tensor
from triton import language as tl

from ..tensors import memory_format
from .shift_linear import DTYPES, INTERPRETED, PROGRAMS, check_map, dense, steps

# Elements a program holds at once; small in the interpreter, so that tiny cases have several tiles.
TILE = 64 if INTERPRETED else 4096


@triton.jit
def _gelu(z):
    return 0.5 * z * (1.0 + tl.erf(z * 0.7071067811865476))


@triton.jit
def _gelu_slope(z):
    return 0.5 * (1.0 + tl.erf(z * 0.7071067811865476)) + z * tl.exp(-0.5 * z * z) * 0.3989422804014327


@triton.jit
def _partial_moments(
    x,  # [samples, size]
    partial,  # fp32, [samples, parts, 2]: mean, sum of squared distances from it
    size,
    parts,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0)
    sample, start = (program // parts).to(tl.int64), program % parts * BLOCK
    at = start + tl.arange(0, BLOCK)
    value = tl.load(x + sample * size + at, at < size, 0.0).to(tl.float32)
    mean = tl.sum(value, 0) / tl.minimum(BLOCK, size - start)
    apart = tl.where(at < size, value - mean, 0.0)
    tl.store(partial + program * 2, mean)
    tl.store(partial + program * 2 + 1, tl.sum(apart * apart, 0))


@triton.jit
def _merge_moments(
    partial,  # fp32, [samples, parts, 2]
    mean,  # fp32, [samples]
    rstd,  # fp32, [samples]
    size,
    parts,
    eps,
    PART: tl.constexpr,  # elements of a part, but for the last one
    BLOCK: tl.constexpr,
):
    sample = tl.program_id(0)
    partial += sample * parts * 2
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, parts, BLOCK):
        part = start + tl.arange(0, BLOCK)
        count = tl.minimum(PART, size - part * PART).to(tl.float32)
        total += tl.load(partial + part * 2, part < parts, 0.0) * (count / size)
    center = tl.sum(total, 0)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, parts, BLOCK):
        part = start + tl.arange(0, BLOCK)
        count = tl.minimum(PART, size - part * PART).to(tl.float32)
        apart = tl.load(partial + part * 2, part < parts, 0.0) - center
        squares = tl.load(partial + part * 2 + 1, part < parts, 0.0)
        total += tl.where(part < parts, squares + count * apart * apart, 0.0)
    tl.store(mean + sample, center)
    tl.store(rstd + sample, 1.0 / tl.sqrt_rn(tl.sum(total, 0) / size + eps))


@triton.jit
def _normalise(
    x,  # [samples, channels, positions], and y alike
    weight,  # [channels], and bias alike
    bias,
    mean,  # fp32, [samples], and rstd alike
    rstd,
    y,
    channels,
    positions,
    x_channel,
    x_position,
    GELU: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    tiles_c, tiles_p = tl.cdiv(channels, BLOCK_C), tl.cdiv(positions, BLOCK_P)
    tile = tl.program_id(0)
    p = tile % tiles_p * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tile // tiles_p % tiles_c * BLOCK_C + tl.arange(0, BLOCK_C)
    sample = (tile // tiles_p // tiles_c).to(tl.int64)
    in_c = c < channels
    mask = in_c[:, None] & (p < positions)[None, :]
    index = sample * channels * positions + (c[:, None] * x_channel + p[None, :] * x_position)
    value = tl.load(x + index, mask, 0.0).to(tl.float32)
    value = (value - tl.load(mean + sample)) * tl.load(rstd + sample)
    value *= tl.load(weight + c, in_c, 0.0).to(tl.float32)[:, None]
    value += tl.load(bias + c, in_c, 0.0).to(tl.float32)[:, None]
    if GELU:
        value = _gelu(value)
    tl.store(y + index, value.to(y.dtype.element_ty), mask)


@triton.jit
def _partial_grads(
    grad,  # [samples, channels, positions], and x alike
    x,
    weight,  # [channels], and bias alike
    bias,
    mean,  # fp32, [samples], and rstd alike
    rstd,
    partial,  # fp32, [samples, splits, 2, channels]: sums over positions of the gradients of weight and bias
    channels,
    positions,
    splits,
    x_channel,
    x_position,
    GELU: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    tiles_c = tl.cdiv(channels, BLOCK_C)
    program = tl.program_id(0)
    c = program % tiles_c * BLOCK_C + tl.arange(0, BLOCK_C)
    split = program // tiles_c % splits
    sample = (program // tiles_c // splits).to(tl.int64)
    in_c = c < channels
    center, scale = tl.load(mean + sample), tl.load(rstd + sample)
    w = tl.load(weight + c, in_c, 0.0).to(tl.float32)[:, None]
    b = tl.load(bias + c, in_c, 0.0).to(tl.float32)[:, None]
    to_weight = tl.zeros([BLOCK_C], tl.float32)
    to_bias = tl.zeros([BLOCK_C], tl.float32)
    for start in range(split * BLOCK_P, positions, splits * BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        mask = in_c[:, None] & (p < positions)[None, :]
        index = sample * channels * positions + (c[:, None] * x_channel + p[None, :] * x_position)
        value = (tl.load(x + index, mask, 0.0).to(tl.float32) - center) * scale
        dz = tl.load(grad + index, mask, 0.0).to(tl.float32)
        if GELU:
            dz *= _gelu_slope(value * w + b)
        to_weight += tl.sum(dz * value, 1)
        to_bias += tl.sum(dz, 1)
    partial += (sample * splits + split) * 2 * channels + c
    tl.store(partial, to_weight, in_c)
    tl.store(partial + channels, to_bias, in_c)


@triton.jit
def _input_grad(
    grad,  # [samples, channels, positions], x and dx alike
    x,
    weight,  # [channels], and bias alike
    bias,
    mean,  # fp32, [samples], rstd and the two means alike
    rstd,
    mean_zx,  # of weight * dz * normalised x
    mean_z,  # of weight * dz
    dx,
    channels,
    positions,
    x_channel,
    x_position,
    GELU: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    tiles_c, tiles_p = tl.cdiv(channels, BLOCK_C), tl.cdiv(positions, BLOCK_P)
    tile = tl.program_id(0)
    p = tile % tiles_p * BLOCK_P + tl.arange(0, BLOCK_P)
    c = tile // tiles_p % tiles_c * BLOCK_C + tl.arange(0, BLOCK_C)
    sample = (tile // tiles_p // tiles_c).to(tl.int64)
    in_c = c < channels
    mask = in_c[:, None] & (p < positions)[None, :]
    index = sample * channels * positions + (c[:, None] * x_channel + p[None, :] * x_position)
    scale = tl.load(rstd + sample)
    value = (tl.load(x + index, mask, 0.0).to(tl.float32) - tl.load(mean + sample)) * scale
    w = tl.load(weight + c, in_c, 0.0).to(tl.float32)[:, None]
    b = tl.load(bias + c, in_c, 0.0).to(tl.float32)[:, None]
    dz = tl.load(grad + index, mask, 0.0).to(tl.float32)
    if GELU:
        dz *= _gelu_slope(value * w + b)
    value = scale * (w * dz - tl.load(mean_z + sample) - value * tl.load(mean_zx + sample))
    tl.store(dx + index, value.to(dx.dtype.element_ty), mask)


def group_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5, gelu: bool = True) -> Tensor:
    """GroupNorm with one group, then the exact GELU.

    ``gelu((x - mean) / sqrt(variance + eps) * weight + bias)``, mean and variance over C, H and W of each sample. Mean
    and variance are those of parts, merged by the formula of Chan, Golub and LeVeque (1979), which cancels nothing.
    All arithmetic is in fp32, so that autocast has nothing to cast. It can be differentiated once. Sources: GroupNorm,
    arXiv 1803.08494; GELU, arXiv 1606.08415; their place in a network: AS-MLP, arXiv 2107.08391, section 3.2.

    Args:
        x: ``[B, C, H, W]``, fp32, fp16 or bf16; copied if it is in neither memory format. A sample has less than
            2**31 elements.
        weight: ``[C]``, in any of these dtypes.
        bias: ``[C]``, likewise.
        eps: added to the variance. Default 1e-5.
        gelu: whether GELU follows. Default True.

    Returns:
        ``[B, C, H, W]`` in the dtype and memory format of ``x``.

    Raises:
        ValueError: if shapes, dtypes or devices are not these, or ``x`` is on a CPU and triton does not interpret.
    """
    check_map('group_norm_gelu', x)
    if any(t.shape != x.shape[1:2] or t.dtype not in DTYPES or t.device != x.device for t in (weight, bias)):
        raise ValueError(
            f'group_norm_gelu takes weight and bias [{x.shape[1]}] in fp32, fp16 or bf16 on {x.device} for x '
            f'{list(x.shape)} there; got {list(weight.shape)} in {weight.dtype} on {weight.device} and '
            f'{list(bias.shape)} in {bias.dtype} on {bias.device}'
        )
    return _group_norm_gelu(x, weight, bias, eps, gelu)[0]


def _tile(x: Tensor) -> dict[str, int]:
    """A block with its long side where elements lie side by side."""
    channels, positions = x.shape[1], x.shape[2] * x.shape[3]
    if memory_format(x) == torch.channels_last:
        block_c = min(triton.next_power_of_2(channels), TILE // 8)
        return dict(BLOCK_C=block_c, BLOCK_P=min(triton.next_power_of_2(positions), TILE // block_c))
    block_p = min(triton.next_power_of_2(positions), TILE // 8)
    return dict(BLOCK_C=min(triton.next_power_of_2(channels), TILE // block_p), BLOCK_P=block_p)


def _tiles(x: Tensor, tile: dict[str, int]) -> tuple[int, int]:
    """Blocks that cover the channels, and the positions."""
    return triton.cdiv(x.shape[1], tile['BLOCK_C']), triton.cdiv(x.shape[2] * x.shape[3], tile['BLOCK_P'])


@torch.library.custom_op('mlp_backbones::group_norm_gelu', mutates_args=())
def _group_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, eps: float, gelu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and mean and 1 / sqrt(variance + eps) of each sample."""
    x = dense(x)
    samples, channels, height, width = x.shape
    size = channels * height * width
    parts = triton.cdiv(size, TILE)
    partial = x.new_empty(samples, parts, 2, dtype=torch.float32)
    mean = x.new_empty(samples, dtype=torch.float32)
    rstd = torch.empty_like(mean)
    y = torch.empty_like(x)
    tile = _tile(x)
    tiles_c, tiles_p = _tiles(x, tile)
    with torch.cuda.device_of(x):
        _partial_moments[(samples * parts,)](x, partial, size, parts, BLOCK=TILE, num_warps=8)
        _merge_moments[(samples,)](partial, mean, rstd, size, parts, eps, PART=TILE, BLOCK=TILE // 4)
        _normalise[(samples * tiles_c * tiles_p,)](
            x,
            weight.contiguous(),
            bias.contiguous(),
            mean,
            rstd,
            y,
            channels,
            height * width,
            *steps(x),
            GELU=gelu,
            **tile,
            num_warps=8,
        )
    return y, mean, rstd


@_group_norm_gelu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float, gelu: bool) -> tuple[Tensor, Tensor, Tensor]:
    moments = x.new_empty(x.shape[0], dtype=torch.float32)
    return torch.empty_like(dense(x)), moments, torch.empty_like(moments)


@torch.library.custom_op('mlp_backbones::group_norm_gelu_grad', mutates_args=())
def _grads(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, gelu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias. Parts are summed in a fixed order: no atomics."""
    x, weight, bias = dense(x), weight.contiguous(), bias.contiguous()
    grad = grad.contiguous(memory_format=memory_format(x))
    samples, channels, height, width = x.shape
    tile = _tile(x)
    tiles_c, tiles_p = _tiles(x, tile)
    splits = max(1, min(tiles_p, PROGRAMS // max(1, samples * tiles_c)))
    partial = x.new_empty(samples, splits, 2, channels, dtype=torch.float32)
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        _partial_grads[(samples * splits * tiles_c,)](
            grad,
            x,
            weight,
            bias,
            mean,
            rstd,
            partial,
            channels,
            height * width,
            splits,
            *steps(x),
            GELU=gelu,
            **tile,
            num_warps=8,
        )
        sums = partial.sum(1)
        means = (sums * weight.float()).sum(2).t().contiguous() / (channels * height * width)
        _input_grad[(samples * tiles_c * tiles_p,)](
            grad,
            x,
            weight,
            bias,
            mean,
            rstd,
            *means,
            dx,
            channels,
            height * width,
            *steps(x),
            GELU=gelu,
            **tile,
            num_warps=8,
        )
    dweight, dbias = sums.sum(0)
    return dx, dweight.to(weight.dtype, copy=True), dbias.to(bias.dtype, copy=True)


@_grads.register_fake
def _(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, gelu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(dense(x)), torch.empty_like(weight), torch.empty_like(bias)


def _save(ctx, inputs: tuple, output: tuple) -> None:
    x, weight, bias, _, ctx.gelu = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:])


def _backward(ctx, grad: Tensor, *_) -> tuple:
    return *_grads(grad, *ctx.saved_tensors, ctx.gelu), None, None


_group_norm_gelu.register_autograd(_backward, setup_context=_save)
