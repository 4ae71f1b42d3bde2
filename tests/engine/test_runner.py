"""The runner of the tools keeps the memory of a step for the next one."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, statistics, torch
from mmengine.config import Config
from mlp_backbones.engine import build_runner
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10 * 2**20)  # 40 MB, more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
# Small objects that come to lie behind the memory make the first ones move on.
def usual():
    return int(statistics.median([faults() for _ in range(100)][-21:]))
before = usual()
build_runner(Config(dict(model=torch.nn.Identity(), work_dir='work')))
print(before, usual())
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
