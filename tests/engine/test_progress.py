"""The runner of the tools keeps the memory of a step for the next one."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from mmengine.config import Config
from mlp_backbones.engine import build_runner
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10 * 2**20)  # 40 MB, more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fill()
before = fill()
build_runner(Config(dict(model=torch.nn.Identity(), work_dir='work')))
fill()
print(before, fill())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='without glibc steps may take longer')
def test_memory_is_kept(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', FAULTS],
        cwd=tmp_path,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, done.stdout.split()[-2:])
    assert after < before / 10
