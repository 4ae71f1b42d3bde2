"""Read the measured latency of the backbones from the benchmarks' files."""

import json
from pathlib import Path

from mlp_backbones.errors import UserError

from .tables import Measure

FILES = 'benchmarks/results/backbones-*.json'
# The benchmarked size nearest to that of a data set.
SIZES = {'COCO': '800x1216', 'ADE20K': '512x512', 'ImageNet-1K': '224x224'}
# In order of preference: fused where that was measured.
CONTESTANTS = ('ours_fused', 'ours')


def hardware(machine: dict, threads: int) -> str:
    """Return the name of a machine for the head of a column."""
    return machine.get('gpu') or f'{machine["cpu"]}, {threads} thread{"s" * (threads != 1)}'


def latencies(root: Path) -> dict[tuple[str, str], dict[Measure, float]]:
    """Return latencies of one image in fp32, in ms, by (backbone, data set) and by machine.

    The numbers of a machine come from one run, the most complete one, because other load slows a whole run.

    Raises:
        UserError: if a file lacks a field.
    """
    runs: dict[str, dict[tuple[str, str], float]] = {}
    for path in sorted(root.glob(FILES)):
        try:
            content = json.loads(path.read_text())
            where = hardware(content['machine'], content['machine']['threads'])
            found = _medians(content['results'])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{path}: not a file of `python -m benchmarks run`: {error!r}') from error
        if len(found) > len(runs.get(where, {})):
            runs[where] = found
    latency: dict[tuple[str, str], dict[Measure, float]] = {}
    for where, found in sorted(runs.items()):
        for dataset, size in SIZES.items():
            for model in sorted(model for model, measured in found if measured == size):
                measure = Measure('backbone latency', 'ms', f'{where}, {size}')
                latency.setdefault((model, dataset), {})[measure] = found[model, size]
    return latency


def _medians(results: list[dict]) -> dict[tuple[str, str], float]:
    found = {}
    for contestant in reversed(CONTESTANTS):
        for result in results:
            if (result['contestant'], result['precision'], result.get('infer_batch_size')) == (contestant, 'fp32', 1):
                found[result['model'], result['infer_img_size']] = round(result['infer_step_time'], 2)
    return found
