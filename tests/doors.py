"""The libraries' own ways to a recipe of an installed mlp_backbones: ``python doors.py DOOR``.

tests/test_install.py runs it in a folder that has nothing but an image, and the checkpoint of a detector in ``work``.
The last line that it prints is JSON.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config, get_model
from mmengine.infer.infer import BaseInferencer

import mlp_backbones as mb
from mlp_backbones.recipes import recipes_folder

DETECTOR = 'digits/mask-rcnn_cyclemlp-slim_digits.py'
SEGMENTOR = 'digits/upernet_cyclemlp-slim_digits.py'
CLASSIFIER = 'cyclemlp/cyclemlp-b1_300e_in1k.py'
IMAGE = 'image.png'


def inherited(recipe: str) -> str:
    """A config of the user's, which inherits from a recipe."""
    path = Path('own', recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"_base_ = 'mlp_backbones::{recipe}'\n")
    return str(path)


def mmengine() -> dict:
    found = {}
    for recipe in (DETECTOR, SEGMENTOR, CLASSIFIER):
        own, taken = Config.fromfile(inherited(recipe)), get_config(f'mlp_backbones::{recipe}')
        found[recipe] = dict(
            file=taken.filename,
            is_equal=own.to_dict() == taken.to_dict() == Config.fromfile(taken.filename).to_dict(),
            model=type(get_model(f'mlp_backbones::{recipe}')).__name__,
        )
    return dict(configs=found, models=sorted(BaseInferencer.list_models('mlp_backbones')))


def mmdet() -> dict:
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config, (checkpoint,) = inherited(DETECTOR), map(str, Path('work').glob('epoch_*.pth'))
    inferencer = DetInferencer(config, checkpoint, device='cpu', show_progress=False)
    found = inferencer(IMAGE, no_save_vis=True)['predictions'][0]
    model = init_detector(config, checkpoint, device='cpu')
    wanted = inference_detector(model, IMAGE).pred_instances
    return dict(
        inferencer=[found['scores'], found['labels'], found['bboxes']],
        function=[wanted.scores.tolist(), wanted.labels.tolist(), wanted.bboxes.tolist()],
        classes=model.dataset_meta['classes'],
    )


def mmseg() -> dict:
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    config = inherited(SEGMENTOR)
    meta = dict(Config.fromfile(config).test_dataloader.dataset.metainfo)
    model = get_model(f'mlp_backbones::{SEGMENTOR}')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), 'segmentor.pth')
    found = MMSegInferencer(config, 'segmentor.pth', device='cpu')(IMAGE)['predictions']
    wanted = inference_model(init_model(config, 'segmentor.pth', device='cpu'), IMAGE).pred_sem_seg.data[0]
    return dict(inferencer=found.tolist(), function=wanted.tolist())


def mmpretrain() -> dict:
    from mmpretrain import ImageClassificationInferencer, ModelHub, inference_model
    from mmpretrain import get_model as get_classifier

    folder, name = recipes_folder(), Path(CLASSIFIER).stem
    ModelHub.register_model_index(folder / 'model-index.yml', config_prefix=folder)
    torch.save(get_classifier(name).state_dict(), 'classifier.pth')
    found = ImageClassificationInferencer(inherited(CLASSIFIER), 'classifier.pth', device='cpu')(IMAGE)[0]
    wanted = inference_model(get_classifier(name, pretrained='classifier.pth', device='cpu'), IMAGE)
    return dict(
        inferencer=[int(found['pred_label']), float(found['pred_score'])],
        function=[int(wanted['pred_label']), float(wanted['pred_score'])],
    )


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    result = globals()[sys.argv[1]]()
    print('\n' + json.dumps(dict(result, package=mb.__file__)))
