"""The GPU kernels, without a GPU: run by triton's interpreter, and compiled for GPUs that are not there."""

import inspect
import platform
from importlib import import_module

import pytest
import torch

from tests.conftest import ROOT, run

pytestmark = [pytest.mark.slow, pytest.mark.newer]

locked = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ('Linux', 'x86_64'),
    reason='GPU kernels are untested on this platform, where users have no triton: it is locked for Linux x86-64 only',
)


@locked
def test_kernels_in_the_interpreter():
    worker = ROOT / 'tests' / 'ops' / 'triton_worker.py'
    # The variable is set for that process only: inductor needs triton's compiler.
    done = run('-m', 'pytest', '-p', 'no:cacheprovider', worker, TRITON_INTERPRET='1', OMP_NUM_THREADS='1')
    assert done.returncode == 0 and ' passed' in done.stdout and ' skipped' not in done.stdout, done.stdout


def test_triton_is_imported_on_demand_and_asked_for_in_one_sentence():
    code = """
import sys
import mlp_backbones, mlp_backbones.ops, mlp_backbones.backbones
assert 'mlp_backbones.ops.triton' not in sys.modules  # triton itself is imported by some versions of torch
sys.modules['triton'] = None  # as if it were not installed
from mlp_backbones.ops import triton
for name in triton.__all__:
    try:
        getattr(triton, name)(1, dim=2)
    except ImportError as error:
        print(error)
"""
    done = run('-c', code)
    assert done.stdout == 4 * 'mlp_backbones.ops.triton needs the package triton: pip install triton\n'


@locked
def test_cpu_tensors_are_refused_by_name():
    from mlp_backbones.ops.triton import group_norm_gelu

    with pytest.raises(ValueError, match='group_norm_gelu takes CUDA tensors, and CPU ones only if TRITON_INTERPRET=1'):
        group_norm_gelu(torch.ones(1, 1, 1, 1), torch.ones(1), torch.ones(1))


# Arguments by type, in all kernels alike: pointers to fp32, and to the dtype of the maps.
FP32 = {'weight_sums', 'bias_sums', 'partial', 'mean', 'rstd', 'mean_zx', 'mean_z'}
FLOAT = {'source', 'target', 'weight', 'bias', 'grad', 'x', 'y', 'dx'}
NORM = dict(GELU=True, BLOCK_C=8, BLOCK_P=512)


@locked
@pytest.mark.parametrize(
    ('dtype', 'arch', 'unit'),
    # The launcher makes constants of all integers that are 1: a map of one position and one channel has only such.
    [('bf16', 90, False), ('fp32', 80, True)],
    ids=['bf16-sm90', 'fp32-sm80-of-size-1'],
)
@pytest.mark.parametrize(
    ('file', 'name', 'constants'),
    [
        ('shift_linear', '_product', dict(SHIFT_STORES=False)),
        ('shift_linear', '_product', dict(SHIFT_STORES=True, bias=None)),
        ('shift_linear', '_weight_grad', {}),
        ('group_norm', '_partial_moments', dict(BLOCK=4096)),
        ('group_norm', '_merge_moments', dict(BLOCK=1024, PART=4096)),
        ('group_norm', '_normalise', NORM),
        ('group_norm', '_partial_grads', NORM),
        ('group_norm', '_input_grad', NORM),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_kernels_compile_for_gpus(file, name, constants, dtype, arch, unit, monkeypatch, tmp_path):
    import triton
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    kernel, options = getattr(import_module(f'mlp_backbones.ops.triton.{file}'), name), {}
    multiplies = hasattr(kernel, 'configs')
    if multiplies:
        # The last tile is the largest.
        tile, kernel = kernel.configs[-1], kernel.fn
        constants = {**constants, **tile.kwargs}
        options = dict(num_warps=tile.num_warps, num_stages=tile.num_stages)
    signature = {}
    for argument in inspect.signature(kernel.fn).parameters:
        pointer = (
            'fp32' if argument in FP32 else dtype if argument in FLOAT else 'i32' if argument == 'offsets' else None
        )
        if argument in constants:
            signature[argument] = 'constexpr'
        elif pointer:
            signature[argument] = f'*{pointer}'
        elif argument == 'eps':
            signature[argument] = 'fp32'
        elif unit and argument != 'work':
            signature[argument], constants = 'constexpr', {**constants, argument: 1}
        else:
            signature[argument] = 'i32'
    source = triton.compiler.ASTSource(kernel, signature, constants)
    compiled = triton.compile(source, target=GPUTarget('cuda', arch, 32), options=options)
    assert compiled.asm['cubin']
    assert compiled.metadata.shared <= 99 * 1024  # what the smallest of these GPUs (sm_86, sm_89) gives a program
    assert ('mma' in compiled.asm['ptx']) == (multiplies and dtype == 'bf16')
    assert 'tf32' not in compiled.asm['ptx']
