"""The memory of a process: a limit for one step, so that an image too large is refused, and what is kept when freed."""

import ctypes
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from mmengine.device import get_device

# The wording of OpenCV, torch and the C++ library.
_NO_MEMORY = re.compile('insufficient memory|failed to allocate|allocate memory|out of memory|bad_alloc', re.IGNORECASE)

# Names and numbers of glibc's malloc.h, and the environment variables that set the same.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MALLOC_VARIABLES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_MMAP_MAX_')


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensors of this process, where a CPU computes.

    glibc returns large blocks to the system, and each step has their pages zeroed anew. The process then stays as large
    as it once was. docs/performance.md has the times.

    Returns:
        Whether it was set. It is not on machines with an accelerator, without glibc, and where the environment sets
        these options of malloc.
    """
    chosen = any(name in os.environ for name in _MALLOC_VARIABLES)
    if chosen or 'glibc.malloc.' in os.environ.get('GLIBC_TUNABLES', ''):
        return False
    if sys.platform != 'linux' or get_device() != 'cpu':
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # musl has none
    return mallopt is not None and all(mallopt(*option) for option in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1)))


@contextmanager
def limited_memory() -> Iterator[None]:
    """Make an allocation fail that needs more memory than is free, instead of the system ending the process.

    It does so on Linux only. The heap of the process is counted, not the memory of a GPU.
    """
    if sys.platform != 'linux':
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + available_memory()
    for other in (soft, hard):
        limit = limit if other == resource.RLIM_INFINITY else min(limit, other)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def available_memory(cgroups: Path = Path('/sys/fs/cgroup')) -> int:
    """Bytes of memory that are free for this process: those of the machine, or of its container where that has less."""
    free = psutil.virtual_memory().available
    # Of cgroups 2 and 1; the files that are only cached can go.
    for folder, limit, used, cached in (
        (cgroups, 'memory.max', 'memory.current', 'inactive_file'),
        (cgroups / 'memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
    ):
        try:
            number = (folder / limit).read_text().strip()
            if number == 'max':
                continue
            values = dict(line.split() for line in (folder / 'memory.stat').read_text().splitlines())
            free = min(free, int(number) - int((folder / used).read_text()) + int(values.get(cached, 0)))
        except FileNotFoundError:
            continue  # no group of this version
    return max(free, 0)


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or bool(_NO_MEMORY.search(f'{type(error).__name__} {error}'))
