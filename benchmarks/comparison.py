"""The measured comparison: networks of the same MACs, trained on the same scenes for the same number of steps."""

import csv
import json
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlp_backbones.apis import keep_freed_memory, load_config, prepare_test
from mlp_backbones.backbones.arguments import unknown
from mlp_backbones.checkpoints import load_trained
from mlp_backbones.engine.hooks.checkpoint import newest_checkpoint
from mlp_backbones.engine.hooks.result import FILE, Result, average
from mlp_backbones.errors import UserError
from mlp_backbones.files import atomic_file, write_text

from .leaderboard.collect import RUNS
from .measure import Step, interleave, peak_memory

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
NETWORKS = (
    'cyclemlp',
    'asmlp',
    'hiremlp',
    'convmlp',
    'wavemlp',
    'swinmlp',
    'mlpmixer',
    'visionpermutator',
    'sparsemlp',
    'activemlp',
    'msmlp',
    'shiftvit',
    'ramlp',
    'raftmlp',
    'spiralmlp',
    'cmt',
    'resmlp',
    'gmlp',
    'resnet',
    'swin',
    'poolformer',
)
# The metric that chooses the learning rate.
HEADS = {'mask-rcnn': 'mask AP', 'upernet': 'mIoU'}
LR, SEED = 'optim_wrapper.optimizer.lr', 'randomness.seed'
REPEATS = 7


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        config: bare name.
        metric: metric that chooses the learning rate.
        lr: learning rate.
        seed: seed of weights and data order.
        options: further ``--cfg-options``, as ``KEY=VALUE``.
        work_dir: folder of the whole comparison.
    """

    config: str
    metric: str
    lr: float
    seed: int
    options: tuple[str, ...]
    work_dir: Path

    @property
    def folder(self) -> Path:
        return self.work_dir / self.config / f'lr-{self.lr:g}_seed-{self.seed}'

    @property
    def command(self) -> list[str]:
        changes = [f'{LR}={self.lr}', f'{SEED}={self.seed}', *self.options]
        # A result file holds this command: where possible, it names no folder of this machine.
        folder = self.folder.relative_to(ROOT) if self.folder.is_relative_to(ROOT) else self.folder
        return ['tools/train.py', self.config, '--work-dir', str(folder), '--cfg-options', *changes]

    def result(self) -> Result | None:
        """Return its result; None if it is unfinished, or the config or the command has changed since."""
        result = self.recorded()
        if result is None or not result.completed:
            return None
        # InterruptHook logs the minutes of each part of a training that was stopped and resumed.
        lines = [line for path in self.folder.glob('*/vis_data/scalars.json') for line in path.read_text().splitlines()]
        scalars = map(json.loads, lines)
        # Earlier logs lack the prefix.
        minutes = sum(row.get('run/minutes', row.get('minutes', 0)) for row in scalars)
        return replace(result, cost={'train_minutes': round(minutes, 2)})

    def recorded(self) -> Result | None:
        """Return its last result, also of a validation before its end; None without one of this config and command."""
        path = self.folder / FILE
        if not path.is_file():
            return None
        result = Result.read(path)
        if result.command.removesuffix(' --resume') != shlex.join(['python', *self.command]):
            return None
        config = load_config(self.config, CONFIGS, result.options)
        return result if result.config_hash == config.provenance.config_hash else None


def compare(
    work_dir: Path,
    out: Path,
    jobs: int,
    heads: Sequence[str],
    networks: Sequence[str] | None,
    rates: Sequence[float],
    seeds: Sequence[int],
    cfg_options: Sequence[str] = (),
) -> None:
    """Run the trainings that have no result yet, and write the results.

    Every network is trained with each learning rate and the first seed, then with the best rate and the other seeds.
    Finished runs are kept; a stopped run continues from its last checkpoint, if it has one. Results in ``out`` of
    networks that are not asked for stay as they are.

    Args:
        work_dir: folder of the trainings.
        out: for ``<config>.json`` of each config, and for all runs as ``digits.json`` and ``digits.csv``.
        jobs: parallel trainings; they share the processor's cores.
        heads: keys of :data:`HEADS`.
        networks: names in :data:`NETWORKS`; None: all.
        rates: learning rates to choose from.
        seeds: the first one also selects the rate.
        cfg_options: ``KEY=VALUE`` for all trainings, for experiments. Default: none.

    Raises:
        UserError: if a network is unknown, or a training fails (the message names its log).
    """
    keep_freed_memory()
    networks = networks or NETWORKS
    for name, asked, known in (('head', heads, HEADS), ('network', networks, NETWORKS)):
        for value in asked:
            if value not in known:
                raise UserError(f'--{name}s: {unknown(name, value, known)}')
    console = Console()
    configs = {f'{head}_{network}-matched_digits': HEADS[head] for head in heads for network in networks}
    kept = [[result for result in results if result.config not in configs] for results in _written(out)]
    grid = [
        Run(name, metric, lr, seeds[0], tuple(cfg_options), work_dir.resolve())
        for name, metric in configs.items()
        for lr in rates
    ]
    total = len(configs) * (len(rates) + len(seeds) - 1)
    console.print(f'{total} trainings, {jobs} at a time; {_forecast(out, total, jobs)}', highlight=False)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('', total=total)
        _train(grid, jobs, progress, task)
        best = [max((run for run in grid if run.config == name), key=_score) for name in configs]
        chosen = {run.config: [run] for run in best}
        for seed in seeds[1:]:
            others = [replace(run, seed=seed) for run in best]
            _train(others, jobs, progress, task)
            for run in others:
                chosen[run.config].append(run)
    costs = {}
    for head in heads:
        console.print(f'measuring time and memory of {head}, side by side')
        costs |= _costs([runs[0] for name, runs in chosen.items() if name.startswith(head)])
    results = {run: run.result() for run in dict.fromkeys(grid + [run for runs in chosen.values() for run in runs])}
    averages = []
    for name, runs in chosen.items():
        whole = average([results[run] for run in runs])
        # The minutes stay with the single runs, which share the cores with each other.
        threads = torch.get_num_threads()
        averages.append(replace(whole, cost=costs[name], threads=threads, command='make leaderboard-digits'))
    _write(out, kept[0] + averages, kept[1] + list(results.values()))
    console.print(f'results: {out}', highlight=False)


def _train(runs: list[Run], jobs: int, progress: Progress, task: int) -> None:
    waiting = [run for run in runs if run.result() is None]
    progress.advance(task, len(runs) - len(waiting))
    started, done = perf_counter(), 0
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_train_one, run, max(1, (os.cpu_count() or 1) // jobs)): run for run in waiting}
        try:
            while futures:
                left = progress.tasks[task].remaining / max(done, 1) * (perf_counter() - started) / 60
                word = f'about {left:.0f} min left' if done else 'the first trainings'
                progress.update(task, description=word)
                finished, _ = wait(futures, return_when=FIRST_COMPLETED)
                for future in finished:
                    run = futures.pop(future)
                    result = future.result()
                    done += 1
                    progress.advance(task)
                    progress.console.print(
                        f'{run.config} lr {run.lr:g} seed {run.seed}: {run.metric} {result.metrics[run.metric]:.1f}',
                        highlight=False,
                    )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _train_one(run: Run, threads: int) -> Result:
    if (run.folder / FILE).is_file() and run.recorded() is None:
        # The run of another config or command must not be resumed.
        shutil.rmtree(run.folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    resume = ['--resume'] if newest_checkpoint(run.folder) else []
    log = run.folder / 'terminal.log'
    env = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': str(ROOT)}
    with log.open('a') as stream:
        status = subprocess.run(
            [sys.executable, *run.command, *resume], cwd=ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT
        ).returncode
    result = None if status else run.result()
    if result is None:
        raise UserError(f'`python {shlex.join(run.command)}` ended with status {status} and no result; see {log}')
    return result


def _score(run: Run) -> float:
    score = run.result().metrics[run.metric]
    return -math.inf if math.isnan(score) else score


def _written(out: Path) -> tuple[list[Result], list[Result]]:
    """Return the averages and the runs that a folder holds."""
    path = out / RUNS
    content = json.loads(path.read_text()) if path.is_file() else dict(averages=[], runs=[])
    averages, runs = ([Result(**result) for result in content[key]] for key in ('averages', 'runs'))
    return averages, runs


def _forecast(out: Path, total: int, jobs: int) -> str:
    _, runs = _written(out)
    if not runs:
        return 'the first ones will show how long they take'
    minutes = statistics.fmean(run.cost['train_minutes'] for run in runs) * total / jobs
    cpu, cores = (runs[0].machine[key] for key in ('cpu', 'cores'))
    return f'about {minutes:.0f} minutes on a machine as fast as that of the last results ({cores} cores, {cpu})'


def _costs(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Measure time and memory of whole models in turn: a training step of a batch, and the inference of one image."""
    train, infer = {}, {}
    for run in runs:
        train[run.config], infer[run.config] = _steps(run)
    memory = {name: peak_memory(step, 'cpu') for name, step in train.items()}
    train_times = interleave(train, REPEATS, 0.2, lambda name: None)
    infer_times = interleave(infer, REPEATS, 0.2, lambda name: None)
    return {
        name: {
            'train_ms': round(statistics.median(train_times[name]), 1),
            'infer_ms': round(statistics.median(infer_times[name]), 1),
            'memory_mb': round(memory[name], 1),
        }
        for name in train
    }


def _steps(run: Run) -> tuple[Step, Step]:
    config = load_config(run.config, CONFIGS, run.result().options)
    prepare_test(config, str(run.folder), 'none', out=None, show_dir=None)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model)
        load_trained(model, run.folder / 'epoch_1.pth')
        batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
        config.val_dataloader.update(batch_size=1, num_workers=0)
        image = next(iter(Runner.build_dataloader(config.val_dataloader, seed=0)))

    def train() -> None:
        model.train()
        data = model.data_preprocessor(batch, True)
        model.parse_losses(model(**data, mode='loss'))[0].backward()
        model.zero_grad()

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model.test_step(image)

    return train, infer


def _write(out: Path, averages: list[Result], runs: list[Result]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for result in averages:
        result.write(out / f'{result.config}.json')
    content = dict(averages=[asdict(result) for result in averages], runs=[asdict(result) for result in runs])
    write_text(out / RUNS, json.dumps(content, indent=1) + '\n')
    write_csv(out / 'digits.csv', averages)


def write_csv(path: Path, averages: Sequence[Result]) -> None:
    """Write a line for each config of ``digits.json``."""
    names = list(dict.fromkeys(name for result in averages for name in result.metrics))
    with atomic_file(path) as path, path.open('w', newline='') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        spreads = [f'{name} std' for name in names]
        writer.writerow(['config', 'lr', 'seeds', *names, *spreads, *averages[0].cost])
        for result in averages:
            numbers = [found.get(name, '') for found in (result.metrics, result.spread) for name in names]
            writer.writerow([result.config, result.options[LR], len(result.seeds), *numbers, *result.cost.values()])
