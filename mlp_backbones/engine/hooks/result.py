"""Result files: the metrics of a training, with what is needed to repeat it."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...files import write_text, writing
from ...registry import HOOKS
from ..nodes import type_name
from ..provenance import command, commit, machine, versions

FORMAT = 'mlp_backbones result 1'
FILE = 'result.json'
# Names in logs -> names in metafiles and result files, and what makes percent of them.
METRICS = {
    **{f'coco/bbox_mAP{end}': (f'box AP{name}', 100) for end, name in (('', ''), ('_50', '50'), ('_75', '75'))},
    **{f'coco/segm_mAP{end}': (f'mask AP{name}', 100) for end, name in (('', ''), ('_50', '50'), ('_75', '75'))},
    **{f'coco_panoptic/{name}': (name, 1) for name in ('PQ', 'SQ', 'RQ')},
    'mIoU': ('mIoU', 1),
    'mAcc': ('mAcc', 1),
    'aAcc': ('aAcc', 1),
    'accuracy/top1': ('Top 1 Accuracy', 1),
    'accuracy/top5': ('Top 5 Accuracy', 1),
}
# The key of a checkpoint's ``meta`` that records how it was trained.
RECORD = 'training'


@dataclass(frozen=True)
class Result:
    """The content of a result file; the config's metafile holds everything else about the config."""

    config: str  # bare name of a config of the zoo
    options: dict  # --cfg-options of the training, by dotted key
    config_hash: str  # of the config with these options, see provenance.config_hash
    completed: bool  # whether the training came to its end
    test: str  # 'single', or 'multi' for several scales and flips
    metrics: dict[str, float]  # in percent, by the names of METRICS; with several seeds the means
    seeds: list[int]  # of the trainings
    machine: dict  # in words and numbers, see provenance.machine
    threads: int  # of torch, in each process; of an average over seeds where the costs were measured
    versions: dict[str, str | None]  # of Python and libraries
    commit: str | None  # of the repository, '-dirty' behind it if files differed; None for an installed package
    date: str  # of the test, as in 2026-11-21
    command: str  # that trained it; with several seeds the one that trained all
    spread: dict[str, float] = field(default_factory=dict)  # standard deviation over several seeds, in percent
    # Any of 'train_minutes', 'infer_ms' and 'train_ms' of a step, and 'memory_mb' (1e6 bytes) of a training step.
    cost: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file whole or not at all; raise UserError if that is impossible."""
        remedy = 'free space or make the folder writable, then run the same command again; add --resume to a training'
        with writing(path, remedy):
            write_text(path, json.dumps({'format': FORMAT, **asdict(self)}, indent=1, default=str) + '\n')

    @classmethod
    def read(cls, path: Path) -> 'Result':
        """Read a file that :meth:`write` wrote; :mod:`.check` looks at files of others."""
        content = json.loads(path.read_text())
        del content['format']
        return cls(**content)


def average(results: Sequence[Result]) -> Result:
    """Return the first of several seeds of a config, with the means of the metrics and their spread."""
    values = {name: [result.metrics[name] for result in results] for name in results[0].metrics}
    several = len(results) > 1
    return Result(
        **{
            **asdict(results[0]),
            'metrics': {name: round(statistics.fmean(found), 2) for name, found in values.items()},
            'spread': {name: round(statistics.stdev(found), 2) for name, found in values.items()} if several else {},
            'seeds': [seed for result in results for seed in result.seeds],
            'completed': all(result.completed for result in results),
        }
    )


def from_logs(
    runner: Runner, logged: dict[str, float], record: dict, meta: dict, test: str | None = None
) -> Result | None:
    """Return the result of a validation or a test; None if ``logged`` has none of :data:`METRICS`.

    Args:
        runner: that has just tested.
        logged: its metrics, by the names of mmdet, mmseg and mmpretrain.
        record: of the training, as :class:`ResultHook` puts it into checkpoints.
        meta: of its checkpoint: 'epoch' and 'iter' that are done.
        test: as in :class:`Result`. Default: None, for a validation.
    """
    logged = {**_found_nothing(runner.cfg.get('test_evaluator' if test else 'val_evaluator'), logged), **logged}
    metrics = {name: round(float(logged[key]) * scale, 2) for key, (name, scale) in METRICS.items() if key in logged}
    if not metrics:
        return None
    unit, end = ('epoch', record['epochs']) if record.get('epochs') else ('iter', record['iterations'])
    hardware = machine('cuda' if next(runner.model.parameters()).is_cuda else 'cpu')
    return Result(
        **{key: record[key] for key in ('config', 'options', 'config_hash', 'commit', 'command')},
        completed=meta[unit] >= end,
        test=test or 'single',
        metrics=metrics,
        seeds=[record['seed']],
        threads=hardware.pop('threads'),
        machine=hardware,
        versions=versions(),
        date=date.today().isoformat(),
    )


def _found_nothing(evaluators: list[dict] | dict | None, logged: dict[str, float]) -> dict[str, float]:
    """Return zero for the AP that a detector lacks as it found nothing: mmdet's CocoMetric then logs none."""
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators] if evaluators else []
    asked = [
        each.get('metric', 'bbox')
        for each in evaluators
        if type_name(each) == 'CocoMetric' and not each.get('format_only') and each.get('prefix') in (None, 'coco')
    ]
    kinds = {f'coco/{kind}_' for metric in asked for kind in ([metric] if isinstance(metric, str) else metric)}
    lacking = tuple(kind for kind in kinds if not any(key.startswith(kind) for key in logged))
    return {key: 0.0 for key in METRICS if key.startswith(lacking)}


@HOOKS.register_module()
class ResultHook(Hook):
    """Write ``result.json`` into the work directory after each validation; record the training in checkpoints."""

    priority = 'LOW'  # before CheckpointHook, whose second save tells a resumed training that it is validated
    mixed = False  # whether parts were trained with another config: then there is no result

    def before_train(self, runner: Runner) -> None:
        self.record = {
            **runner.cfg.provenance.to_dict(),
            'seed': runner.seed,
            'iterations': runner.max_iters,
            # The number of iterations may be an estimate, as that of a batch sampler is.
            'epochs': runner.max_epochs if isinstance(runner.train_loop, EpochBasedTrainLoop) else None,
            'commit': commit(),
            'command': command(),
        }

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not self.mixed:
            checkpoint['meta'][RECORD] = self.record

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        fault = runner._resume and _fault(runner, checkpoint, 'resumed training')
        if fault:
            self.mixed = True
            runner.logger.info(fault)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not self.mixed:
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            _write(runner, from_logs(runner, metrics or {}, self.record, meta))


def write_test_result(runner: Runner, logged: dict[str, float], checkpoint: dict, test: str) -> None:
    """Write ``result.json`` of a tested checkpoint into the work directory, or log why not; see :func:`from_logs`."""
    fault = _fault(runner, checkpoint, 'test')
    if fault:
        runner.logger.info(fault)
    else:
        meta = checkpoint['meta']
        _write(runner, from_logs(runner, logged, meta[RECORD], meta, test))


def _write(runner: Runner, result: Result | None) -> None:
    if result and runner.rank == 0:
        result.write(Path(runner.work_dir) / FILE)


def _fault(runner: Runner, checkpoint: dict, now: str) -> str:
    """Explain why the scores of a checkpoint are no result of the config; '' if they are."""
    record = checkpoint.get('meta', {}).get(RECORD)
    if record is None:
        return f'no {FILE}: the checkpoint does not record how it was trained, as those of this package do'
    if record['config_hash'] != runner.cfg.provenance.config_hash:
        return (
            f'no {FILE}: the {now} has another config or other --cfg-options than the training '
            f'({record["config"]}, {record["options"] or "no options"})'
        )
    return ''
