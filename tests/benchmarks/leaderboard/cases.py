"""A small repository with a zoo, benchmarks and result files, whose leaderboard one can tell by heart."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

PAPER = 'CycleMLP paper, arXiv 2107.10224v1, table 5'
MACHINE = {'device': 'cpu', 'cpu': 'Some CPU', 'cores': 2, 'ram_gb': 8, 'gpu': None, 'system': 'Linux x86_64'}
EVIL = '</script><script>window.planted = 1</script><img src=x onerror="window.planted = 1"><b>bold</b>'
BOXES = {'box AP': 71.25, 'box AP50': 96.0, 'box AP75': 81.0, 'mask AP': 70.0, 'mask AP50': 95.0, 'mask AP75': 80.0}


def result(**changes: object) -> dict:
    """The content of a good result file, of one seed, with changes; a value of None leaves a field out."""
    content = {
        'format': 'mlp_backbones result 1',
        'config': 'mask-rcnn_cyclemlp-slim_digits',
        'options': {},
        'config_hash': '0123456789abcdef' * 4,
        'completed': True,
        'test': 'single',
        'metrics': dict(BOXES),
        'seeds': [0],
        'machine': dict(MACHINE),
        'threads': 2,
        'versions': {'python': '3.11.7', 'torch': '2.11.0', 'cuda': None},
        'commit': 'a' * 40,
        'date': '2026-11-21',
        'command': 'python tools/train.py mask-rcnn_cyclemlp-slim_digits',
        'spread': {},
        'cost': {},
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None or key == 'commit'}


def write(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def model(
    name: str, family: str, head: str, dataset: str, schedule: str, parameters: float, macs: float, *results
) -> dict:
    """A model of a metafile; parameters in millions, MACs in G, results as (metrics, state, source)."""
    size = dict(COCO=[800, 1280], ADE20K=[512, 2048], DigitScenes=[192, 192])[dataset]
    return {
        'Name': name,
        'In Collection': family,
        'Config': f'configs/{"digits/" if dataset == "DigitScenes" else ""}{name}.py',
        'Metadata': {
            'Backbone': name if dataset == 'DigitScenes' else name.split('-')[0],
            'Head': head,
            'Training Data': dataset,
            'Schedule': schedule,
            'Scales': 'single',
            'Parameters': int(parameters * 1e6),
            'FLOPs': int(macs * 1e9),
            'Input Size': size,
        },
        'Results': [
            {'Task': 't', 'Dataset': dataset, 'Metrics': metrics, 'State': state, 'Source': source}
            for metrics, state, source in results
        ],
    }


def reported(source: str = PAPER, **metrics: float) -> tuple:
    return {name.replace('_', ' '): value for name, value in metrics.items()}, 'reported', source


def zoo() -> list[dict]:
    mask, digits = ('Mask R-CNN', 'COCO'), ('Mask R-CNN', 'DigitScenes', '4 epochs')
    two = (reported(box_AP=41.7, mask_AP=38.2), reported('svip-lab/Other README', box_AP=42.1))
    trained = ({'box AP': 73.3, 'box AP50': 96.4, 'mask AP': 72.4}, 'trained here', 'README')
    return [
        model('cyclemlp_b1-m', 'CycleMLP', *mask, '1x', 30, 200, reported(box_AP=40.0, mask_AP=36.5)),
        model('cyclemlp_b2-m', 'CycleMLP', *mask, '1x', 46, 250, *two),
        model('hiremlp_small-m', 'Hire-MLP', *mask, '1x', 52, 240, reported(box_AP=42.0, mask_AP=38.5)),
        model('hiremlp_base-m', 'Hire-MLP', *mask, '1x', 100, 300, reported(mask_AP=41.0)),
        model('hiremlp_small-3x', 'Hire-MLP', *mask, '3x', 52, 240, reported(box_AP=45.0)),
        model('hiremlp_tiny-m', 'Hire-MLP', *mask, '1x', 34, 210),
        model('asmlp_tiny-u', 'AS-MLP', 'UperNet', 'ADE20K', '160k', 60, 936, reported(**{'mIoU_(ms+flip)': 46.5})),
        model('asmlp_base-u', 'AS-MLP', 'UperNet', 'ADE20K', '160k', 121, 1164, reported(mIoU=48.0)),
        model('mask-rcnn_cyclemlp-slim_digits', 'CycleMLP', *digits, 4.8, 3.03, trained),
        model('mask-rcnn_hiremlp-slim_digits', 'Hire-MLP', *digits, 5.5, 3.02),
    ]


def reference() -> dict:
    """A network of another library, with what a metafile of it has."""
    scores = reported(box_AP=40.9, mask_AP=37.1)
    found = model('mask-rcnn_r50-3x', 'ResNet', 'Mask R-CNN', 'COCO', '3x', 44.4, 259, scores)
    found['Metadata']['Backbone'] = 'resnet50'
    addresses = dict(Weights='https://example.org/r50.pth', Log='https://example.org/r50.json')
    return {**found, 'Config': 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py', **addresses}


def repository(folder: Path, models: list[dict], references: Sequence[dict] = (), **results: dict) -> Path:
    """Writes a repository of these models and result files (by name), with benchmarks of two backbones."""
    papers = [{'Name': 'CycleMLP', 'Paper': {'URL': 'https://arxiv.org/abs/2107.10224'}}]
    (folder / 'metafile.yml').write_text(yaml.safe_dump(dict(Collections=papers, Models=models)))
    write(folder / 'configs' / 'references.yml', dict(Models=list(references)))
    (folder / 'model-index.yml').write_text('Import: [metafile.yml]')
    timed = dict(precision='fp32', infer_batch_size=1)
    rows = [
        dict(timed, model=model, contestant=contestant, infer_img_size=size, infer_step_time=time)
        for model, contestant, size, time in (
            ('cyclemlp_b1', 'ours', '800x1216', 480.123),
            ('cyclemlp_b1', 'ours_fused', '800x1216', 470.0),
            ('cyclemlp_b1', 'naive', '800x1216', 999.0),
            ('hiremlp_small', 'ours', '800x1216', 620.0),
            ('hiremlp_small', 'ours', '512x512', 111.0),
        )
    ]
    rows.append(dict(rows[1], precision='bf16', infer_step_time=1.0))
    rows.append(dict(rows[1], infer_batch_size=2, infer_step_time=900.0))
    write(folder / 'benchmarks/results/backbones-cpu.json', dict(machine=dict(MACHINE, threads=2), results=rows))
    # A smaller run on the same machine: not mixed in.
    few = [dict(rows[1], model='hiremlp_tiny', infer_step_time=2.0)]
    write(folder / 'benchmarks/results/backbones-cpu-bf16.json', dict(machine=dict(MACHINE, threads=2), results=few))
    for name, content in results.items():
        write(folder / 'benchmarks/leaderboard/results' / f'{name}.json', content)
    return folder
