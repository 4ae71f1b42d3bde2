"""Record the origin of a number: machine, versions, commit, config and command."""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from mmengine.config import Config

from ..version import __version__

LIBRARIES = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'mmpretrain', 'mlp_backbones')
# The maintained line and the original one name their packages differently.
PACKAGES = {'mmdet': ('onedl-mmdetection', 'mmdet')}
REPOSITORY = Path(__file__).parents[2]


def machine(device: str) -> dict:
    """The hardware in words and numbers: nothing that names the machine or its user."""
    gpu = torch.cuda.get_device_properties(0) if device == 'cuda' else None
    return {
        'device': device,
        'cpu': _cpu_model(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'ram_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9),
        'gpu': gpu and gpu.name,
        'gpu_memory_gb': gpu and round(gpu.total_memory / 1e9),
        'system': f'{platform.system()} {platform.machine()}',
    }


def versions() -> dict[str, str | None]:
    """Python, CUDA and libraries; None for what is not installed."""
    found = {'python': platform.python_version(), 'cuda': torch.version.cuda}
    for name in LIBRARIES:
        found[name] = None
        for package in PACKAGES.get(name, (f'onedl-{name}', name)):
            try:
                found[name] = found[name] or version(package)
            except PackageNotFoundError:
                continue
    # In a checkout the package is not installed. torch's own version names the build, too.
    return {**found, 'torch': torch.__version__, 'mlp_backbones': __version__}


def commit() -> str | None:
    """The commit of the clone that this package is in, with '-dirty' behind it if files differ; None outside of one."""

    def git(*arguments: str) -> str:
        result = subprocess.run(['git', *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return result.stdout.strip()

    try:
        # An installed package may lie inside somebody else's repository.
        if Path(git('rev-parse', '--show-toplevel')).resolve() != REPOSITORY:
            return None
        return git('rev-parse', 'HEAD') + ('-dirty' if git('status', '--porcelain', '--untracked-files=no') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def command() -> str:
    """The command that runs now, with paths inside the repository relative to it."""
    name, *arguments = sys.argv
    if name.startswith('python -m '):
        return shlex.join([*name.split(), *arguments])
    path = Path(name).resolve()
    if path.is_relative_to(REPOSITORY):
        name = str(path.relative_to(REPOSITORY))
    return shlex.join(['python', name, *arguments])


def config_hash(config: Config) -> str:
    """SHA-256 of the values of a config, not of its files or its order, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=str).encode()).hexdigest()


def _cpu_model() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.processor() or platform.machine())
