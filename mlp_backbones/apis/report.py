"""Report a training as a table and curves."""

import json
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from ..engine.hooks.result import METRICS
from ..errors import UserError
from ..files import atomic_file, writing

# Of METRICS, those that the table and the curves show.
COLUMNS = (
    *('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50'),
    *('mIoU', 'mAcc', 'accuracy/top1'),
)


def write_report(work_dir: str | Path) -> tuple[Table, Path]:
    """Read the scalars that mmengine wrote in a work directory, over all runs and resumes.

    Args:
        work_dir: the ``--work-dir`` of tools/train.py.

    Returns:
        A table (the last value of each metric, minutes of training, parameters), and the path of ``curves.png``.

    Raises:
        UserError: if nothing was logged there, or ``curves.png`` cannot be written.
    """
    work_dir = Path(work_dir)
    records = _last_training(work_dir)
    if not records:
        raise UserError(f'{work_dir} holds no scalars of a training: give the --work-dir of a run of tools/train.py')

    table = Table(title=f'{work_dir} (metrics in %)')
    values = {}
    for key in COLUMNS:
        name, scale = METRICS[key]
        found = [record[key] for record in records if key in record]
        if found:
            values[name] = f'{found[-1] * scale:.1f}'
    minutes = [record['minutes'] for record in records if 'minutes' in record]
    if minutes:
        values['minutes'] = f'{sum(minutes):.1f}'
        values['parameters'] = f'{next(r["parameters"] for r in records if "parameters" in r) / 1e6:.2f} M'
    for name in values:
        table.add_column(name, justify='right')
    table.add_row(*values.values())

    path = work_dir / 'curves.png'
    with writing(path), atomic_file(path) as aside:
        _curves(records).savefig(aside, dpi=120, format='png')
    return table, path


def _last_training(work_dir: Path) -> list[dict]:
    """Return the records of the newest training, with the runs that it was resumed from."""
    records: list[dict] = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines = map(json.loads, path.read_text().splitlines())
        run = [{key.removeprefix('run/'): value for key, value in line.items()} for line in lines]
        starts = [next((r['iter'] for r in part if 'loss' in r), None) for part in (records, run)]
        if None not in starts and starts[1] <= starts[0]:
            records = []
        records += run
    return records


def _curves(records: list[dict]) -> Figure:
    figure = Figure(figsize=(10, 4), layout='constrained')
    loss_axes, metric_axes = figure.subplots(1, 2)
    for key in sorted({key for record in records for key in record if key.split('.')[-1].startswith('loss')}):
        points = [(r['iter'], r[key]) for r in records if key in r]
        loss_axes.plot(*zip(*points, strict=True), label=key, linewidth=2.5 if key == 'loss' else 1)
    loss_axes.set(title='training loss', xlabel='iteration', ylabel='loss', ylim=(0, None))
    loss_axes.legend()

    validated = 'iteration'
    for key in COLUMNS:
        name, scale = METRICS[key]
        points = [(r['step'], r[key] * scale) for r in records if key in r]
        if points:
            metric_axes.plot(*zip(*points, strict=True), marker='o', label=name)
            validated = 'epoch' if any('epoch' in r and r['epoch'] == points[-1][0] for r in records) else validated
    metric_axes.set(title='validation', xlabel=validated, ylabel='%', ylim=(0, None))
    metric_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if metric_axes.lines:
        metric_axes.legend()
    for axes in (loss_axes, metric_axes):
        axes.grid(alpha=0.3)
    return figure
