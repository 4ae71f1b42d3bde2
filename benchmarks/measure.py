"""Measure times, memory, MACs, and the rates of the hardware."""

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from mlp_backbones.compat import flop_registry

Step = Callable[[], object]

MATMUL_SIDES = {'cpu': (512, 1024, 2048), 'cuda': (2048, 4096, 8192)}
COPY_BYTES = 2**30


def rates(device: str, dtype: torch.dtype) -> dict[str, float]:
    """Measure the best rates of this machine.

    Returns:
        ``matmul_gflops``: billions of operations per second (two per MAC) in the best of some large square matrix
        products; ``conv1x1_gflops``: the same for a large point-wise convolution in channels_last, for which torch may
        call another library; ``copy_gb_per_sec``, only on a GPU: 1e9 bytes read and written per second in a large copy.
    """
    best = 0.0
    for side in MATMUL_SIDES[device]:
        a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
        best = max(best, 2 * side**3 / _best_seconds(lambda a=a, b=b: a @ b))
    x = torch.rand(1, 1024, side // 32, 32, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(1024, 1024, 1, 1, device=device, dtype=dtype)
    conv = 2 * weight.numel() * side / _best_seconds(lambda: F.conv2d(x, weight))
    found = {'matmul_gflops': best / 1e9, 'conv1x1_gflops': conv / 1e9}
    if device == 'cuda':
        source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        found['copy_gb_per_sec'] = 2 * COPY_BYTES / _best_seconds(lambda: target.copy_(source)) / 1e9
    return found


def count(step: Step) -> tuple[int, int]:
    """Count the matrix products and convolutions of a step; on torch's meta device this is free.

    Returns:
        (MACs, elements of the tensors that these operators read and write).
    """
    # The inner mode takes composite operators apart for the outer one.
    with _ElementCounter() as elements, FlopCounterMode(display=False) as flops:
        step()
    return flops.get_total_flops() // 2, elements.total


def peak_memory(step: Step, device: str) -> float:
    """Measure the peak that one step allocates beyond weights and input, in MB of 1e6 bytes.

    On the CPU this is the sum over torch's own allocations, exact and the same in every run, without the scratch space
    that a library allocates itself.
    """
    if device == 'cuda':
        # The first call also allocates memory that libraries keep.
        step()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
        step()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == '[memory]']
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / 1e6


def interleave(
    steps: dict[str, Step], repeats: int, min_time: float, done: Callable[[str], None]
) -> dict[str, list[float]]:
    """Time steps in turn, ``repeats`` times each.

    Args:
        steps: the contestants.
        repeats: measurements of each one.
        min_time: minimum seconds of a measurement, after one call to warm up.
        done: called with a name after each measurement.

    Returns:
        Milliseconds per call, one number (itself a median) per repeat.
    """
    threads = torch.get_num_threads()
    timers = {name: Timer('step()', globals={'step': step}, num_threads=threads) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, timer in timers.items():
            times[name].append(timer.blocked_autorange(min_run_time=min_time).median * 1e3)
            done(name)
    return times


class _ElementCounter(TorchDispatchMode):
    """Sum the elements of all inputs and outputs of counted operators."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry():
            results = result if isinstance(result, (tuple, list)) else [result]
            self.total += sum(t.numel() for t in (*args, *results) if isinstance(t, torch.Tensor))
        return result


def _best_seconds(step: Step) -> float:
    timer = Timer('step()', globals={'step': step}, num_threads=torch.get_num_threads())
    # The best, not the median: the load by other processes is not part of the machine's rate.
    return min(min(timer.blocked_autorange(min_run_time=0.1).times) for _ in range(5))
