"""The commands of docs/what_works.md, as they are written, on fewer scenes."""

import hashlib
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import cv2
import mmdet
import mmseg
import pytest
import torch
from mmseg.datasets import BaseSegDataset

from mlp_backbones.apis import load_config
from mlp_backbones.apis.config import build_model
from tests.conftest import ROOT

PAGE = (ROOT / 'docs/what_works.md').read_text()
FEWER = """
digit_scenes = dict(root='data/few', train=8, val=4)
train_dataloader = dict(dataset=dict(data_root='data/few'))
val_dataloader = dict(dataset=dict(data_root='data/few'), num_workers=0)
test_dataloader = dict(dataset=dict(data_root='data/few'), num_workers=0)
val_evaluator = dict(ann_file='data/few/annotations/instances_val.json')
test_evaluator.update(ann_file='data/few/annotations/instances_val.json')
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
"""


MAPS = """
_base_ = 'mlp_backbones::cyclemlp_upernet_digits.py'
digit_scenes = dict(root='data/few', train=8, val=4)
test_dataloader = dict(dataset=dict(data_root='data/few'))
"""


@pytest.mark.slow
def test_every_command_of_the_page(tmp_path, run_here, monkeypatch):
    monkeypatch.setattr(BaseSegDataset, 'METAINFO', {})  # which names.py changes
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    config = re.search(r'```python\n# own.py\n(.*?)```', PAGE, re.S).group(1)
    (tmp_path / 'own.py').write_text(config + FEWER)
    (tmp_path / 'names.py').write_text(re.search(r'```python\n# names.py\n(.*?)```', PAGE, re.S).group(1))
    (tmp_path / 'maps.py').write_text(MAPS)
    torch.save(
        build_model(load_config(str(tmp_path / 'maps.py'), ROOT / 'configs')).state_dict(), tmp_path / 'maps.pth'
    )
    work, printed = tmp_path / 'work_dirs/own', {}
    variables = {name: f'{library.__path__[0]}/.mim/tools' for name, library in dict(MMDET=mmdet, MMSEG=mmseg).items()}
    variables['CONFIG'] = 'work_dirs/own/own.py'
    for line in re.findall(r'^python .*', '\n'.join(re.findall(r'```bash\n(.*?)```', PAGE, re.S)), re.M):
        for name, value in variables.items():
            line = line.replace(f'${name}', value)
        line = line.replace('cyclemlp_upernet_digits.py', 'maps.py').replace('cyclemlp_upernet_digits', 'maps.py')
        tool, *arguments = shlex.split(line)[1:]
        if Path(tool).name == 'analyze_logs.py' and find_spec('seaborn') is None:
            needs_seaborn = 'import seaborn' in Path(tool).read_text()  # as mmdet 3.3.0 does
            assert needs_seaborn == (mmdet.__version__ == '3.3.0')
            if needs_seaborn:
                continue
        done = run_here(tool, *arguments, cwd=tmp_path)
        assert done.returncode == 0, f'{line}\n{done.stdout}'
        printed.setdefault(Path(tool).stem, done.stdout)
        if tool == 'tools/train.py':
            variables['CHECKPOINT'] = (work / 'last_checkpoint').read_text()
            variables['SCALARS'] = str(next(work.glob('*/vis_data/scalars.json')))

    assert len(printed) >= 9 and "type='EMAHook'" in printed['print_config']
    assert [*work.glob('*/vis_data/events.*')] and 'category' in printed['test']  # TensorBoard; AP by class
    assert len(list((tmp_path / 'browsed').iterdir())) == 8
    assert len([*(tmp_path / 'results').rglob('*.png')]) == 4
    for picture in (
        *(f'{name}/confusion_matrix.png' for name in ('confusion', 'confusion_of_maps')),
        *(['loss.png'] if 'analyze_logs' in printed else []),
    ):
        assert cv2.imread(str(tmp_path / picture)).std() > 0
    tested = json.loads([*work.glob('*/2*.json')][-1].read_text().splitlines()[-1])
    assert f"'coco/bbox_mAP': {tested['coco/bbox_mAP']}" in printed['eval_metric']
    # The file to give away has the weights that were tested, and nothing of the training.
    (file,) = tmp_path.glob('mine-*.pth')
    assert file.stem[-8:] == hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    checkpoint, published = (torch.load(path, weights_only=False) for path in (variables['CHECKPOINT'], file))
    assert published.keys() == {'meta', 'state_dict'} and 'ema_state_dict' in checkpoint
    assert all(torch.equal(published['state_dict'][key], value) for key, value in checkpoint['state_dict'].items())
