"""Settings of the recipes beside a table of what the authors' code has: no model is built."""

import functools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from torch import nn

from mlp_backbones.engine.hooks.checkpoint import KeepingCheckpointHook
from tests.conftest import ROOT, metafiles

RECIPES = {
    recipe['Name']: recipe
    for metafile in metafiles()
    for recipe in metafile['Models']
    # Those of configs/_base_/heads/ are compared with their bases in test_heads.py.
    if recipe['Metadata']['Training Data'] != 'DigitScenes'
    and '/_base_/heads/' not in (ROOT / recipe['Config']).read_text()
}
# ImageNet-1K, by the beginning of the name, the longest counts: images per step and learning rate; the warm-up's epochs
# and its start; all epochs, of which those from 300 on are at the last rate; crop ratio of the test; interpolation of
# RandAugment and the random crop; repeated augmentation; decay of the moving average.
SOURCES = {
    # config.py, main.py, optimizer.py of svip-lab/AS-MLP
    'asmlp': (1024, 1e-3, 20, 1e-6, 300, 0.875, 'bicubic', False, None),
    # main.py, datasets.py of ShoufaChen/CycleMLP
    'cyclemlp': (1024, 1e-3, 5, 1e-6, 300, 0.875, 'bicubic', True, None),
    # README.md, train.py, datasets.py of ggjy/Hire-Wave-MLP.pytorch
    'hiremlp': (1024, 1e-3, 20, 1e-6, 310, 0.875, 'bicubic', True, None),
    'hiremlp-t': (2048, 2e-3, 20, 1e-6, 310, 0.875, 'bicubic', True, None),
    # README.md, train_wave.py, mlp_based/wave_mlp.py of ggjy/Hire-Wave-MLP.pytorch
    'wavemlp': (1024, 1e-3, 5, 1e-6, 310, 0.9, 'random', True, 0.99996),
    'wavemlp-b': (1024, 1e-3, 5, 1e-6, 310, 0.875, 'random', True, 0.99996),
    # convmlp_s_imagenet.yml, classification.py of SHI-Labs/Convolutional-MLPs
    'convmlp': (1024, 5e-4, 5, 1e-4, 310, 0.9, 'bicubic', False, 0.99996),
    # README.md (at half its batch), main.py, models/vip.py of houqb/VisionPermutator
    'visionpermutator': (1024, 1e-3, 20, 1e-6, 310, 0.9, 'random', False, None),
    'visionpermutator-l7': (1024, 1e-3, 20, 1e-6, 310, 0.875, 'random', False, None),
    # configs/swinmlp, config.py, data/build.py of microsoft/Swin-Transformer
    'swinmlp': (1024, 1e-3, 20, 1e-6, 300, 0.875, 'bicubic', False, None),
    # That of Swin and Vision Permutator.
    'mlpmixer': (1024, 1e-3, 20, 1e-6, 300, 0.875, 'bicubic', False, None),
    'sparsemlp': (1024, 1e-3, 20, 1e-6, 300, 0.875, 'bicubic', False, None),
}
IMAGENET = [
    name
    for name, recipe in RECIPES.items()
    if recipe['Metadata']['Head'] == 'Classifier' and name.split('-')[0] in SOURCES
]
# What each library's metric reports first.
BEST = dict(mmdet='coco/bbox_mAP', mmseg='mIoU', mmpretrain='accuracy/top1')
# Semantic FPN tests at sides of multiples of 32, as segmentation/configs/_base_/datasets/ade20k.py of whai362/PVT does;
# the released configs of these, RaftMLP's of MLP-Mixer among them, do not.
AS_THEY_COME = {'ConvMLP', 'Hire-MLP', 'MLP-Mixer', 'RaftMLP'}


@functools.cache
def resolve(name: str) -> Config:
    return Config.fromfile(ROOT / RECIPES[name]['Config'])


def learning_rates(config: Config, batches: int) -> list[float]:
    """The rate of each iteration of a training with so many batches per epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.optim_wrapper.optimizer.lr)
    with DefaultScope.overwrite_default_scope('mmengine'):
        schedulers = [
            PARAM_SCHEDULERS.build(dict(s), default_args=dict(optimizer=OptimWrapper(optimizer), epoch_length=batches))
            for s in config.param_scheduler
        ]
    rates = []
    for _ in range(config.train_cfg.max_epochs):
        for _ in range(batches):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            [s.step() for s in schedulers if not s.by_epoch]
        [s.step() for s in schedulers if s.by_epoch]
    return rates


def interpolations(pipeline: list) -> list[list[str]]:
    """Those of the random crop and of RandAugment, one list each."""
    crop, rand_augment = pipeline[1], pipeline[3]
    found = []
    for transform, last in ((crop, 'RandomResizedCrop'), (rand_augment, 'RandAugment')):
        options = [option for (option,) in transform.get('transforms', [[transform]])]
        assert all(option.type == last for option in options)
        assert transform.type == ('RandomChoice' if len(options) > 1 else last) and 'prob' not in transform
        found.append([option.get('hparams', option).interpolation for option in options])
    return found


def test_every_source_has_classifiers():
    assert len(IMAGENET) == 36
    assert all(any(name.startswith(f'{key}-') or name.startswith(f'{key}_') for name in IMAGENET) for key in SOURCES)


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_recipe_has_what_its_source_has(name):
    key = max((key for key in SOURCES if name.startswith(key)), key=len)
    batch, rate, warmup, start, epochs, ratio, interpolation, repeated, average = SOURCES[key]
    config, meta = resolve(name), RECIPES[name]['Metadata']
    assert meta.get('Epochs', 300) == config.train_cfg.max_epochs == epochs
    assert 8 * config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == batch
    rates = learning_rates(config, 2)
    assert len(rates) == 2 * epochs and max(rates) == pytest.approx(rate, rel=1e-9)
    assert rates[0] == pytest.approx(start, rel=1e-9) and rates.index(max(rates)) == 2 * warmup - 1
    # From epoch 300 on at the end of the cosine, which two steps an epoch meet within 0.3 %.
    assert rates[598] > rates[599]
    assert rates[600:] == [pytest.approx(1e-5, rel=5e-3)] * len(rates[600:])

    side = 256 if name.startswith('swinmlp-tiny') else 224
    _, resize, crop, _ = config.val_dataloader.dataset.pipeline
    assert (resize.scale, crop.crop_size) == (int(side / ratio), side)
    assert config.test_dataloader == config.val_dataloader
    expected = ['bilinear', 'bicubic'] if interpolation == 'random' else [interpolation]
    assert interpolations(config.train_dataloader.dataset.pipeline) == [expected, expected]
    assert f"'scale': {side}," in str(config.train_dataloader.dataset.pipeline[1])
    assert config.train_dataloader.sampler.type == ('RepeatAugSampler' if repeated else 'DefaultSampler')
    averages = [hook.momentum for hook in config.get('custom_hooks', []) if hook.type == 'EMAHook']
    assert averages == ([] if average is None else [pytest.approx(1 - average)])


@pytest.mark.parametrize('name', [name for name in RECIPES if name.startswith('semfpn')])
def test_semantic_fpn_tests_at_the_sizes_of_its_source(name):
    config = resolve(name)
    types = [transform.type for transform in config.val_dataloader.dataset.pipeline]
    (choices,) = (t.transforms for t in config.tta_pipeline if t.type == 'TestTimeAug')
    augmented = [transform.type for choice in choices for transform in choice]
    multiples = RECIPES[name]['In Collection'] not in AS_THEY_COME
    assert ('ResizeToMultiple' in types) == ('ResizeToMultiple' in augmented) == multiples
    if multiples:
        assert types[1:4] == ['Resize', 'ResizeToMultiple', 'LoadAnnotations']
        assert config.val_dataloader.dataset.pipeline[2].size_divisor == 32


@pytest.mark.slow
def test_processes_draw_apart_the_best_is_kept_and_paths_of_weights_are_of_the_last_epoch():
    trained_first = 0
    for name in RECIPES:
        config = resolve(name)
        assert config.randomness.diff_rank_seed and config.randomness.get('seed') is None, name
        # Not mmengine's name of the library's hook, but the one that tools/train.py puts there.
        hook = KeepingCheckpointHook(**{k: v for k, v in config.default_hooks.checkpoint.items() if k != 'type'})
        assert (hook.key_indicators, hook.rules) == ([BEST[config.default_scope]], ['greater'])
        path = Path((config.model.backbone.get('init_cfg') or {}).get('checkpoint', ''))
        if path.parts[:1] == ('work_dirs',):
            assert path.name == f'epoch_{resolve(path.parent.name).train_cfg.max_epochs}.pth'
            trained_first += 1
    assert trained_first >= 10


def test_padded_images_have_whole_maps_at_all_strides():
    """Of ViP-S/14, whose patches have 14 pixels."""
    config = resolve('mask-rcnn_visionpermutator-s14_fpn_1x_coco')
    strides = config.model.roi_head.bbox_roi_extractor.featmap_strides
    assert strides == [3.5, 7, 14, 28]
    assert all(config.model.data_preprocessor.pad_size_divisor % stride == 0 for stride in strides)


# What a comment offers for the settings of another source: it must reach the key that it names.
OVERRIDES = {
    'mask-rcnn_cyclemlp-b1_fpn_1x_coco': {'optim_wrapper.optimizer.lr': 2e-4},
    'mask-rcnn_hiremlp-t_fpn_1x_coco': {'optim_wrapper.optimizer.lr': 2e-4},
    'mask-rcnn_wavemlp-t_fpn_1x_coco': {'optim_wrapper.optimizer.lr': 2e-4, 'model.backbone.norm_cfg.type': 'BN'},
    'retinanet_wavemlp-t_fpn_1x_coco': {'model.backbone.norm_cfg.type': 'BN'},
    'semfpn_wavemlp-t_40k_ade20k-512x512': {'optim_wrapper.optimizer.lr': 2e-4, 'model.backbone.norm_cfg.type': 'BN'},
    'mask-rcnn_asmlp-s_fpn_ms-3x_coco': {'model.backbone.shift_size': 3},
    'cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-3x_coco': {'model.backbone.shift_size': 3},
    'cascade-mask-rcnn_asmlp-s_fpn_giou-4conv1fc_ms-3x_coco': {'model.backbone.shift_size': 3},
    'upernet_asmlp-s_160k_ade20k-512x512': {'model.backbone.shift_size': 3},
    'hiremlp-t_300e_in1k': {
        'train_dataloader.batch_size': 128,
        'auto_scale_lr.base_batch_size': 1024,
        'optim_wrapper.optimizer.lr': 1e-3,
    },
}


def test_overrides_of_the_comments_reach_what_they_name():
    for name, options in OVERRIDES.items():
        comment = (ROOT / RECIPES[name]['Config']).read_text().replace('\n# ', ' ')
        config = resolve(name)
        for key, value in options.items():
            written = f'{value:.0e}'.replace('e-0', 'e-') if isinstance(value, float) else value
            assert f'{key}={written}' in comment
            *parents, last = key.split('.')
            node = functools.reduce(lambda node, part: node[part], parents, config)
            # Of the keys, only the default of AS-MLP's class is not in its configs.
            assert node.get(last, 5 if last == 'shift_size' else None) != value
            assert last in node or last == 'shift_size'
