"""What is freed stays in the process for its next tensors."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Prints what the function returned, and the page faults of four tensors of 64 MiB, once the heap has places for them.
SCRIPT = """
import resource
import torch
from mlp_backbones.apis import keep_freed_memory

kept = keep_freed_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**24)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 4 * 2**26 // 4096


@pytest.mark.skipif(sys.platform != 'linux', reason='users elsewhere lose the shorter times: glibc alone is set')
@pytest.mark.parametrize(('variables', 'kept'), [({}, 'True'), ({'MALLOC_MMAP_THRESHOLD_': '1048576'}, 'False')])
def test_freed_memory_is_kept(variables, kept):
    env = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_'))}
    env |= {'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': '', **variables}
    done = subprocess.run([sys.executable, '-c', SCRIPT], env=env, stdout=subprocess.PIPE, text=True, check=True)
    found, faults = done.stdout.split()
    assert found == kept
    assert kept == 'False' or int(faults) < PAGES / 8
