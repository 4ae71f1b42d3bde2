"""A point-wise linear map of shifted channels: the shift happens in the loads and stores of the matrix product."""

import os
from collections.abc import Callable
from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

from ..tensors import memory_format

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Programs that fill a large GPU several times over.
PROGRAMS = 512


def _tuned(*shapes: tuple[int, int, int], key: list[str]) -> Callable[[Any], Any]:
    """Let Triton choose from tiles: (rows, columns, warps).

    All of them sum in blocks of 32, so that the choice does not regroup a sum. The interpreter has one, small enough to
    be looped over in tests, and no tuner: that of Triton 3.2 asks for a GPU, and gives the interpreter unknown names.
    """
    if INTERPRETED:
        return triton.heuristics(dict.fromkeys(('BLOCK_M', 'BLOCK_N', 'BLOCK_K'), lambda arguments: 16))
    tiles = [
        triton.Config(dict(BLOCK_M=rows, BLOCK_N=columns, BLOCK_K=32), num_warps=warps, num_stages=3)
        for rows, columns, warps in shapes
    ]
    return triton.autotune(tiles, key=key)


@_tuned(
    (64, 64, 4),
    (128, 64, 4),
    (64, 128, 4),
    (128, 128, 8),
    key=['work', 'ins', 'outs', 'from_position', 'step', 'SHIFT_STORES'],
)
@triton.jit(do_not_specialize=['work'])
def _product(
    source,  # [samples, ins, positions], neighbours from_channel and from_position elements apart
    weight,  # [outs, ins]
    bias,  # [outs] or None
    offsets,  # int32, [outs] if SHIFT_STORES else [ins]
    target,  # [samples, outs, positions]
    ins,
    outs,
    positions,
    side,  # length of the axis that channels move along
    step,  # positions between two neighbours on it
    from_channel,
    from_position,
    to_channel,
    to_position,
    weight_out,
    weight_in,
    work,  # for the autotuner's key alone
    SHIFT_STORES: tl.constexpr,
    BLOCK_M: tl.constexpr,  # positions
    BLOCK_N: tl.constexpr,  # outs
    BLOCK_K: tl.constexpr,  # ins
):
    # Outs run fastest: programs that read the same positions run at the same time.
    tiles_m = tl.cdiv(positions, BLOCK_M)
    tiles_n = tl.cdiv(outs, BLOCK_N)
    tile = tl.program_id(0)
    n = tile % tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    p = tile // tiles_n % tiles_m * BLOCK_M + tl.arange(0, BLOCK_M)
    # Only a sample is sure to have indices of 32 bits.
    sample = (tile // tiles_n // tiles_m).to(tl.int64)
    source += sample * ins * positions
    target += sample * outs * positions
    at = (p // step) % side
    in_n, in_p = n < outs, p < positions

    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(0, ins, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        in_k = k < ins
        index = p[:, None] * from_position + k[None, :] * from_channel
        mask = in_p[:, None] & in_k[None, :]
        if not SHIFT_STORES:
            offset = tl.load(offsets + k, in_k, 0)
            moved = at[:, None] + offset[None, :]
            mask = mask & (moved >= 0) & (moved < side)
            index += offset[None, :] * step * from_position
        x = tl.load(source + index, mask, 0.0)
        w_mask = in_k[:, None] & in_n[None, :]
        w = tl.load(weight + k[:, None] * weight_in + n[None, :] * weight_out, w_mask, 0.0)
        total = tl.dot(x, w, total, input_precision='ieee')
    if bias is not None:
        total += tl.load(bias + n, in_n, 0.0).to(tl.float32)[None, :]

    index = p[:, None] * to_position + n[None, :] * to_channel
    if SHIFT_STORES:
        # What leaves the map at one end returns as zero at the other: each target is written exactly once.
        offset = tl.load(offsets + n, in_n, 0)
        moved = at[:, None] + offset[None, :]
        total = tl.where((moved >= 0) & (moved < side), total, 0.0)
        index += ((moved % side + side) % side - at[:, None]) * step * to_position
    tl.store(target + index, total.to(target.dtype.element_ty), in_p[:, None] & in_n[None, :])


@_tuned(
    (64, 64, 4),
    (128, 64, 4),
    (128, 128, 8),
    key=['work', 'ins', 'outs', 'from_position', 'step'],
)
@triton.jit(do_not_specialize=['work'])
def _weight_grad(
    grad,  # [samples, outs, positions]
    source,  # [samples, ins, positions]
    offsets,  # int32, [ins]
    weight_sums,  # fp32, [splits, outs, ins]
    bias_sums,  # fp32, [splits, outs]
    samples,
    ins,
    outs,
    positions,
    side,
    step,
    grad_channel,
    grad_position,
    from_channel,
    from_position,
    work,
    BLOCK_M: tl.constexpr,  # outs
    BLOCK_N: tl.constexpr,  # ins
    BLOCK_K: tl.constexpr,  # positions
):
    tiles_n = tl.cdiv(ins, BLOCK_N)
    tile = tl.program_id(0)
    m = tile // tiles_n * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tile % tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    in_m, in_n = m < outs, n < ins
    offset = tl.load(offsets + n, in_n, 0)

    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    bias_total = tl.zeros([BLOCK_M], tl.float32)
    tiles_k = tl.cdiv(positions, BLOCK_K)
    for chunk in range(split, samples * tiles_k, tl.num_programs(1)):
        sample = (chunk // tiles_k).to(tl.int64)
        p = chunk % tiles_k * BLOCK_K + tl.arange(0, BLOCK_K)
        in_p = p < positions
        index = m[:, None] * grad_channel + p[None, :] * grad_position
        dy = tl.load(grad + sample * outs * positions + index, in_m[:, None] & in_p[None, :], 0.0)
        moved = ((p // step) % side)[:, None] + offset[None, :]
        mask = in_p[:, None] & in_n[None, :] & (moved >= 0) & (moved < side)
        index = (p[:, None] + offset[None, :] * step) * from_position + n[None, :] * from_channel
        x = tl.load(source + sample * ins * positions + index, mask, 0.0)
        total = tl.dot(dy, x, total, input_precision='ieee')
        bias_total += tl.sum(dy.to(tl.float32), 1)

    index = (split * outs + m[:, None]).to(tl.int64) * ins + n[None, :]
    tl.store(weight_sums + index, total, in_m[:, None] & in_n[None, :])
    if tile % tiles_n == 0:
        tl.store(bias_sums + split * outs + m, bias_total, in_m)


def shift_linear(x: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, dim: int) -> Tensor:
    """A 1x1 convolution of a map whose channels are moved along one axis, without a moved copy of it.

    ``y[b, o, p] = bias[o] + sum_c weight[o, c] * x[b, c, p + offsets[c]]`` along ``dim``, zero outside. With
    :func:`cycle_offsets` it is the layer of CycleMLP (arXiv 2107.10224, section 3.2), with :func:`axial_offsets` that
    of AS-MLP (arXiv 2107.08391, section 3.2). Sums are in fp32, and products of fp32 are exact to fp32 (no tf32).
    Under autocast, ``x``, ``weight`` and ``bias`` are cast as for a convolution. It can be differentiated once.

    Args:
        x: ``[B, C_in, H, W]``, fp32, fp16 or bf16; copied if it is in neither memory format. A sample has less than
            2**31 elements.
        weight: ``[C_out, C_in, 1, 1]``.
        bias: ``[C_out]`` or None.
        offsets: ``[C_in]``, int32, on the device of ``x``.
        dim: the axis to move along, 2 (H) or 3 (W).

    Returns:
        ``[B, C_out, H, W]`` in the memory format of ``x``.

    Raises:
        ValueError: if shapes, dtypes or devices are not these, or ``x`` is on a CPU and triton does not interpret.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = bias if bias is None else bias.to(dtype)
    check_map('shift_linear', x)
    ins, outs = x.shape[1], weight.shape[0]
    if weight.shape != (outs, ins, 1, 1) or offsets.shape != (ins,) or (bias is not None and bias.shape != (outs,)):
        raise ValueError(
            f'shift_linear takes weight [C_out, {ins}, 1, 1], bias [C_out] or None and offsets [{ins}] for x of {ins} '
            f'channels; got weight {list(weight.shape)}, bias {bias if bias is None else list(bias.shape)} and offsets '
            f'{list(offsets.shape)}'
        )
    floats = [x, weight] if bias is None else [x, weight, bias]
    one_dtype = all(t.dtype == x.dtype for t in floats) and offsets.dtype == torch.int32
    if not one_dtype or any(t.device != x.device for t in (*floats, offsets)) or dim not in (2, 3):
        raise ValueError(
            'shift_linear takes x, weight and bias of one dtype, int32 offsets, all on one device, and dim 2 (H) or 3 '
            f'(W); got {", ".join(f"{t.dtype} on {t.device}" for t in (*floats, offsets))} and dim={dim}'
        )
    return _shift_linear(x, weight, bias, offsets, dim)


def cycle_offsets(channels: int, step_size: int, device: torch.device | str | None = None) -> Tensor:
    """The offsets of :func:`mlp_backbones.ops.cycle_shift`: ``(c + S // 2) mod S - S // 2``, ``[channels]``, int32.

    Source: CycleMLP, arXiv 2107.10224, section 3.2.

    Raises:
        ValueError: if ``step_size`` is below 1.
    """
    if step_size < 1:
        raise ValueError(f'cycle_offsets takes step_size >= 1; got step_size={step_size}')
    half = step_size // 2
    return (torch.arange(channels, dtype=torch.int32, device=device) + half) % step_size - half


def axial_offsets(
    channels: int, shift_size: int, dilation: int = 1, device: torch.device | str | None = None
) -> Tensor:
    """The offsets of :func:`mlp_backbones.ops.axial_shift`, ``[channels]``, int32.

    ``(s // 2 - g) * dilation`` for group ``g`` of ``ceil(channels / s)`` channels; ``dilation`` is 1 by default.
    Source: AS-MLP, arXiv 2107.08391, section 3.2.

    Raises:
        ValueError: if ``shift_size`` is even or below 1, or ``dilation`` is below 1.
    """
    if shift_size < 1 or shift_size % 2 == 0 or dilation < 1:
        raise ValueError(
            f'axial_offsets takes an odd shift_size >= 1 and dilation >= 1; got shift_size={shift_size} and '
            f'dilation={dilation}'
        )
    group = torch.arange(channels, dtype=torch.int32, device=device) // -(-channels // shift_size)
    return (shift_size // 2 - group) * dilation


def check_map(name: str, x: Tensor) -> None:
    """Raises a ValueError unless ``x`` is a map that the kernels can read."""
    if x.ndim != 4 or x.dtype not in DTYPES:
        raise ValueError(f'{name} takes x [B, C, H, W] in fp32, fp16 or bf16; got {list(x.shape)} in {x.dtype}')
    if x.device.type == 'cpu' and not INTERPRETED:
        raise ValueError(f'{name} takes CUDA tensors, and CPU ones only if TRITON_INTERPRET=1 is set; got x on a CPU')


def dense(x: Tensor) -> Tensor:
    """The map itself if it is in a memory format, else a contiguous copy."""
    return x.contiguous(memory_format=memory_format(x))


def steps(x: Tensor) -> tuple[int, int]:
    """Elements between neighbouring channels, and positions, of a map in its memory format."""
    return (1, x.shape[1]) if memory_format(x) == torch.channels_last else (x.shape[2] * x.shape[3], 1)


def _axis(x: Tensor, dim: int) -> tuple[int, int]:
    """Length of the axis, and positions between two neighbours on it."""
    return x.shape[dim], 1 if dim == 3 else x.shape[3]


def _work(x: Tensor) -> int:
    # In powers of two: a tile is chosen once for similar sizes, not for each.
    return (x.shape[0] * x.shape[2] * x.shape[3]).bit_length()


def _empty(x: Tensor, channels: int) -> Tensor:
    size = (x.shape[0], channels, *x.shape[2:])
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def _run_product(
    source: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, dim: int, backward: bool
) -> Tensor:
    source, weight = dense(source), weight.contiguous()
    outs, ins = weight.shape[:2]
    weight_out, weight_in = ins, 1
    if backward:
        outs, ins, weight_out, weight_in = ins, outs, weight_in, weight_out
    target = _empty(source, outs)
    samples, positions = source.shape[0], source.shape[2] * source.shape[3]
    with torch.cuda.device_of(source):
        _product[
            lambda tile: (samples * triton.cdiv(positions, tile['BLOCK_M']) * triton.cdiv(outs, tile['BLOCK_N']),)
        ](
            source,
            weight,
            bias if bias is None else bias.contiguous(),
            offsets.contiguous(),
            target,
            ins,
            outs,
            positions,
            *_axis(source, dim),
            *steps(source),
            *steps(target),
            weight_out,
            weight_in,
            _work(source),
            SHIFT_STORES=backward,
        )
    return target


@torch.library.custom_op('mlp_backbones::shift_linear', mutates_args=())
def _shift_linear(x: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, dim: int) -> Tensor:
    return _run_product(x, weight, bias, offsets, dim, backward=False)


@_shift_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, dim: int) -> Tensor:
    return _empty(x, weight.shape[0])


@torch.library.custom_op('mlp_backbones::shift_linear_input_grad', mutates_args=())
def _input_grad(grad: Tensor, weight: Tensor, offsets: Tensor, dim: int) -> Tensor:
    """``dx[b, c, q] = sum_o weight[o, c] * grad[b, o, q - offsets[c]]``, in the memory format of ``grad``."""
    return _run_product(grad, weight, None, offsets, dim, backward=True)


@_input_grad.register_fake
def _(grad: Tensor, weight: Tensor, offsets: Tensor, dim: int) -> Tensor:
    return _empty(grad, weight.shape[1])


@torch.library.custom_op('mlp_backbones::shift_linear_weight_grad', mutates_args=())
def _weight_and_bias_grad(grad: Tensor, x: Tensor, offsets: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``[C_out, C_in, 1, 1]`` and ``[C_out]``. Splits are summed in a fixed order: no atomics."""
    grad, x = dense(grad), dense(x)
    (samples, outs), ins, positions = grad.shape[:2], x.shape[1], x.shape[2] * x.shape[3]
    splits = PROGRAMS // (triton.cdiv(outs, 64) * triton.cdiv(ins, 64))
    splits = max(1, min(splits, samples * triton.cdiv(positions, 32)))
    weight_sums = x.new_empty(splits, outs, ins, dtype=torch.float32)
    bias_sums = x.new_empty(splits, outs, dtype=torch.float32)
    with torch.cuda.device_of(x):
        _weight_grad[lambda tile: (triton.cdiv(outs, tile['BLOCK_M']) * triton.cdiv(ins, tile['BLOCK_N']), splits)](
            grad,
            x,
            offsets.contiguous(),
            weight_sums,
            bias_sums,
            samples,
            ins,
            outs,
            positions,
            *_axis(x, dim),
            *steps(grad),
            *steps(x),
            _work(x),
        )
    return weight_sums.sum(0).to(x.dtype).view(outs, ins, 1, 1), bias_sums.sum(0).to(x.dtype)


@_weight_and_bias_grad.register_fake
def _(grad: Tensor, x: Tensor, offsets: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    return x.new_empty(grad.shape[1], x.shape[1], 1, 1), x.new_empty(grad.shape[1])


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    x, weight, bias, offsets, dim = inputs
    ctx.save_for_backward(x, weight, offsets)
    ctx.dim, ctx.has_bias = dim, bias is not None


def _backward(ctx, grad: Tensor) -> tuple:
    x, weight, offsets = ctx.saved_tensors
    dx = dweight = dbias = None
    if ctx.needs_input_grad[0]:
        dx = _input_grad(grad, weight, offsets, ctx.dim)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        dweight, dbias = _weight_and_bias_grad(grad, x, offsets, ctx.dim)
    return dx, dweight, dbias if ctx.has_bias else None, None, None


_shift_linear.register_autograd(_backward, setup_context=_save)
