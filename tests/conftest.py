"""Goldens, and ways to run a command as a user would."""

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import config
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

from mlp_backbones.recipes import INDEX, read_metafile
from tests.data import recipe

ROOT = Path(__file__).parents[1]
# `make gpu-check` runs the tests of networks and operators on a GPU; all tensors are made there.
DEVICE = os.environ.get('MLP_BACKBONES_TEST_DEVICE', 'cpu')
if DEVICE != 'cpu':
    torch.set_default_device(DEVICE)


@cache
def metafiles() -> tuple[dict, ...]:
    """All metafiles, in the order of model-index.yml; nobody may change them."""
    return tuple(read_metafile(ROOT / path) for path in read_metafile(ROOT / INDEX)['Import'])


def format_once() -> None:
    """Let mmengine format each config with yapf once, and not again for each checkpoint: half a second each time."""
    original = yapf_api.FormatCode
    known = cache(lambda text, style: original(text, style_config=dict(style)))
    module = config if hasattr(config, 'FormatCode') else yapf_api  # torch 2.1's line imports the function
    module.FormatCode = lambda text, style_config: known(text, tuple(style_config.items()))


format_once()


def reference(name: str) -> dict:
    """A reference output of ``tests/data``: what a published network gave."""
    return json.loads((ROOT / 'tests' / 'data' / f'{name}.json').read_text())


def reference_state(name: str) -> dict[str, torch.Tensor]:
    """The official state dict of a reference output, filled as its recipe says (float64)."""
    shapes = reference(name)['state_dict']
    state = {key: torch.from_numpy(np.asarray(recipe.tensor(key, shape))) for key, shape in shapes.items()}
    return state | {key: spiral(shape[1] // 2) for key, shape in shapes.items() if key.endswith('fc_cross.offset')}


def spiral(channels: int) -> torch.Tensor:
    """SpiralMLP's offsets (row, column) of each channel, ``[1, 2 C, 1, 1]``: the recipe has the formula's."""
    n = channels // 2
    i = np.arange(channels) % n
    amplitude = np.where(i <= n // 2, 14 * i / n, 14 - 14 * i / n)
    offsets = np.stack([amplitude * np.cos(np.pi * i / 16), amplitude * np.sin(np.pi * i / 16)], 1)
    return torch.from_numpy(np.round(offsets).reshape(1, -1, 1, 1))


def default_signals() -> None:
    """For ``preexec_fn``: signals as from a terminal; nohup and cron let a process and its children ignore SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def run(*command: object, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess:
    """Runs ``python COMMAND`` in a process of its own, and returns what it printed (stderr with stdout)."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.fixture
def run_here(monkeypatch, capsys):
    """:func:`run` in the test's own process, which has the libraries already."""

    def run_python(*command: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        arguments = [str(argument) for argument in command]
        of_module = arguments[0] == '-m'
        execute = runpy.run_module if of_module else runpy.run_path
        monkeypatch.setattr(sys, 'argv', arguments[of_module:])
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        for kind in (Visualizer, *subclasses(Visualizer)):
            kind._instance_dict.clear()  # one of an earlier run would write into the folder of that
        status = 0
        try:
            execute(sys.argv[0], run_name='__main__')
        except SystemExit as stop:
            status = stop.code or 0
        printed = ''.join(capsys.readouterr())
        if isinstance(status, str):  # a sentence, which Python prints
            status, printed = 1, f'{printed}{status}\n'
        return subprocess.CompletedProcess(arguments, status, printed)

    return run_python


# What makes a run of the digit scenes short.
TINY = {'digit_scenes.train': 24, 'digit_scenes.val': 8, 'train_dataloader.batch_size': 4}


@pytest.fixture(scope='session')
def workspace(tmp_path_factory) -> Path:
    """A folder to run the tools in, with tiny digit scenes in its data/."""
    from mlp_backbones.datasets import write_digit_scenes

    folder = tmp_path_factory.mktemp('workspace')
    (folder / 'data').mkdir()
    write_digit_scenes(folder / 'data' / 'digit_scenes', train=24, val=8)
    return folder


@pytest.fixture
def digits_config(workspace, monkeypatch):
    """Loads a digit-scenes config on the tiny scenes, in their folder."""
    from mlp_backbones.apis import load_config

    monkeypatch.chdir(workspace)
    return lambda name: load_config(name, ROOT / 'configs', TINY)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
