"""Check the package on a GPU: tests, kernels, precisions, engines, training, several devices; and write one report.

Without a GPU it lists the steps. Run it as ``make gpu-check``.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mlp_backbones import ops
from mlp_backbones.backbones import FAMILIES, MLPBackbone
from mlp_backbones.engine.provenance import machine, versions

ROOT = Path(__file__).parents[1]
DIGITS = 'configs/cyclemlp_maskrcnn_digits.py'
DEVICE_OF_TESTS = 'MLP_BACKBONES_TEST_DEVICE'
TESTS = ('tests/backbones/test_contract.py', 'tests/backbones/test_references.py', 'tests/ops', 'tests/layers')
SIZE = (160, 224)
# Largest error of an output, relative to its norm, beside float64 on the CPU. A few blocks add up roundings.
BOUNDS = {
    'fp32': 1e-4,
    'channels_last': 1e-4,
    'compiled': 1e-4,
    'plain': 1e-4,
    'fp16 autocast': 1e-2,
    'bf16 autocast': 1e-1,
}


@dataclass(frozen=True)
class Step:
    """One check: a command in the clone.

    Attributes:
        name: of the check.
        command: without the interpreter.
        env: more environment variables.
        log: the name of its log file.
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return f'{self.name.replace(" ", "-")}.log'


def steps(out: Path, devices: int) -> list[Step]:
    """List the checks, in the order of a run; results lie in ``out``."""
    on_gpu = {DEVICE_OF_TESTS: 'cuda'}
    pytest = ('-m', 'pytest', '-q', '-p', 'no:cacheprovider')
    run = ('-m', 'benchmarks', 'run', '--device', 'cuda', '--suite')
    launch = ('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', str(devices), 'tools/train.py', DIGITS)
    short = ('--cfg-options', 'train_cfg.max_epochs=1')
    return [
        Step('contract tests', (*pytest, *TESTS), on_gpu),
        Step('triton kernels', (*pytest, 'tests/ops/triton_worker.py'), on_gpu),
        Step('precisions', ('-m', 'benchmarks.gpu_check', '--precisions')),
        Step('operators', (*run, 'ops', '--precision', 'fp32,bf16', '--out', str(out / 'ops-cuda'))),
        Step(
            'backbones',
            (*run, 'backbones', '--precision', 'fp32,bf16', '--sizes', '512x512', '--out', str(out / 'backbones-cuda')),
        ),
        Step('engines', (*run, 'engines', '--out', str(out / 'engines-cuda'))),
        Step('training in mixed precision', ('tools/train.py', DIGITS, '--amp', '--work-dir', str(out / 'amp'))),
        Step(
            f'training on {devices} devices',
            (*launch, '--launcher', 'pytorch', '--work-dir', str(out / 'ddp'), *short),
        ),
    ]


def run(todo: Sequence[Step], out: Path) -> list[tuple[Step, int, float]]:
    """Run all steps, also after one that fails, and write their output to log files.

    Returns:
        Each step with its exit code and its seconds.
    """
    done = []
    for step in todo:
        print(f'{step.name}: python {" ".join(step.command)}', flush=True)
        start = time.monotonic()
        with (out / step.log).open('w') as log:
            env = {**os.environ, 'PYTHONPATH': str(ROOT), **step.env}
            command = [sys.executable, *step.command]
            status = subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT).returncode
        done.append((step, status, time.monotonic() - start))
        print(f'{step.name}: {"passed" if status == 0 else f"failed, see {out / step.log}"}', flush=True)
    return done


def report(done: Sequence[tuple[Step, int, float]], out: Path, device: str) -> str:
    """Write ``report.md``: the machine, a line for each step, and the end of each log."""
    found = machine(device)
    lines = [f'# Checks on {found["gpu"] or found["cpu"]}\n', f'- machine: {found}', f'- versions: {versions()}']
    lines += [f'- operators: {ops.active_backends(device)}\n', '| step | result | seconds |', '| --- | --- | ---: |']
    lines += [
        f'| {step.name} | {"passed" if status == 0 else f"failed ({status})"} | {seconds:.0f} |'
        for step, status, seconds in done
    ]
    for step, *_ in done:
        end = (out / step.log).read_text(errors='replace').splitlines()[-40:]
        lines += [f'\n## {step.name}\n', '```', *end, '```']
    text = '\n'.join(lines) + '\n'
    (out / 'report.md').write_text(text)
    return text


def precisions(device: str, families: Sequence[str] = tuple(FAMILIES)) -> Iterator[tuple[str, str, float, bool]]:
    """Compare the first variant of each family with float64 on the CPU, in every precision and layout.

    Yields:
        Family, precision, the largest error, and whether it is within :data:`BOUNDS`.
    """
    for family in families:
        torch.manual_seed(0)
        kind = FAMILIES[family]
        exact = kind(next(iter(kind.variants)), drop_path_rate=0.0).double().eval()
        images = torch.rand(2, 3, *SIZE, dtype=torch.float64)
        with torch.no_grad():
            wanted = exact(images)
        for name, bound in BOUNDS.items():
            net = kind(next(iter(kind.variants)), drop_path_rate=0.0).eval()
            net.load_state_dict(exact.state_dict())
            error = _error(net.to(device), images.float().to(device), name, wanted)
            yield family, name, error, error < bound


def _error(net: MLPBackbone, x: torch.Tensor, name: str, wanted: Sequence[torch.Tensor]) -> float:
    dtype = {'fp16 autocast': torch.float16, 'bf16 autocast': torch.bfloat16}.get(name)
    call = torch.compile(net) if name == 'compiled' else net
    if name == 'channels_last':
        net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast(x.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        if name == 'plain':
            with ops.use_backend('plain'):
                outputs = call(x)
        else:
            outputs = call(x)
    pairs = zip(outputs, wanted, strict=True)
    return max(((y.double().cpu() - z).norm() / z.norm()).item() for y, z in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.gpu_check', description=__doc__)
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'gpu_check', help='(work_dirs/gpu_check)')
    parser.add_argument('--precisions', action='store_true', help='only compare precisions with float64 on the CPU')
    args = parser.parse_args(arguments)
    if args.precisions:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        failed = 0
        for family, name, error, fits in precisions(device):
            failed += not fits
            print(f'{family:<18} {name:<14} {error:.1e}' + ('' if fits else f' above {BOUNDS[name]:.0e}'), flush=True)
        return int(failed > 0)
    devices = torch.cuda.device_count()
    if not devices:
        print('torch sees no GPU. On a machine with one, these steps would run:')
        for step in steps(args.out, 1):
            given = ''.join(f'{key}={value} ' for key, value in step.env.items())
            print(f'- {step.name}: {given}python {" ".join(step.command)}')
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    done = run(steps(args.out, devices), args.out)
    report(done, args.out, 'cuda')
    print(args.out / 'report.md')
    return int(any(status for _, status, _ in done))


if __name__ == '__main__':
    sys.exit(main())
