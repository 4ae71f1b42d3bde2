"""Recipes of ``configs/_base_/heads/``, compared with their bases and with a recipe that is built and counted.

Each joins the base of a head and the backbone of another recipe. So of each head only one is built, and takes a step.
"""

import functools
import re

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from torch import nn

from mlp_backbones.engine.hooks.checkpoint import KeepingCheckpointHook
from mlp_backbones.engine.runner import fuse_where_possible
from tests.backbones.slim import DIMS, slim_arch
from tests.configs.test_models import data
from tests.configs.test_recipes import CONFIGS, MODELS_BY_NAME, OF_HEADS
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

# Learning rate, weight decay, images per step, length, the metric of the best checkpoint; and the metafile's head and
# schedule.
SETTINGS = {
    'dino_4scale_12e_coco': (1e-4, 1e-4, 16, 12, 'coco/bbox_mAP', 'DINO', '12e'),
    'rtmdet_l_100e_coco': (1e-3, 0.05, 128, 100, 'coco/bbox_mAP', 'RTMDet', '100e'),
    'mask2former_lsj_50e_coco': (1e-4, 0.05, 16, 368_750, 'coco/segm_mAP', 'Mask2Former (instance)', 'LSJ 50e'),
    'mask2former_lsj_50e_coco_panoptic': (
        *(1e-4, 0.05, 16, 368_750, 'coco_panoptic/PQ'),
        *('Mask2Former (panoptic)', 'LSJ 50e'),
    ),
    'mask_rcnn_amp_lsj_100e_coco': (1e-4, 0.05, 64, 25, 'coco/bbox_mAP', 'Mask R-CNN', 'LSJ 100e'),
    'sparse_rcnn_300_proposals_ms_3x_coco': (2.5e-5, 1e-4, 16, 36, 'coco/bbox_mAP', 'Sparse R-CNN', '3x'),
    'atss_amp_ms_3x_coco': (1e-4, 0.05, 16, 36, 'coco/bbox_mAP', 'ATSS', '3x'),
    'gfl_amp_ms_3x_coco': (1e-4, 0.05, 16, 36, 'coco/bbox_mAP', 'GFL', '3x'),
    'cascade_mask_rcnn_amp_ms_3x_coco': (1e-4, 0.05, 16, 36, 'coco/bbox_mAP', 'Cascade Mask R-CNN', '3x'),
    'mask_rcnn_layer_decay_ms_1x_coco': (1e-4, 0.05, 16, 12, 'coco/bbox_mAP', 'Mask R-CNN', '1x, layer decay'),
    'mask2former_160k_ade20k': (1e-4, 0.05, 16, 160_000, 'mIoU', 'Mask2Former (semantic)', '160k'),
    'segformer_160k_ade20k': (6e-5, 0.01, 16, 160_000, 'mIoU', 'SegFormer', '160k'),
    'upernet_80k_cityscapes': (6e-5, 0.01, 16, 80_000, 'mIoU', 'UperNet', '80k'),
    'upernet_layer_decay_40k_ade20k': (6e-5, 0.01, 16, 40_000, 'mIoU', 'UperNet', '40k, layer decay'),
    'imagenet_100e': (1e-3, 0.05, 1024, 100, 'accuracy/top1', 'Classifier', '100 epochs'),
    'classifier_layer_decay_30e_in1k': (
        *(5e-5, 1e-8, 512, 30, 'accuracy/top1'),
        *('Classifier', '30 epochs, layer decay'),
    ),
}
# The head and schedule of the recipe, of the same backbone, whose backbone and drop path these have.
SIBLINGS = dict(mmdet=('Mask R-CNN', '3x'), mmseg=('UperNet', '160k'), mmpretrain=('Classifier', None))
# Of the backbone's learning rate.
FACTORS = {'dino_4scale_12e_coco': 0.1} | {name: 0.1 for name in SETTINGS if name.startswith('mask2former')}
# Parts that read the backbone, where no neck does.
READERS = ('neck', 'panoptic_head', 'decode_head', 'auxiliary_head', 'head')
# They read no map of stride 4.
FROM_STRIDE_8 = ('DINO', 'RTMDet', 'ATSS', 'GFL')


def base_of(name: str) -> str:
    return re.search(r'/_base_/heads/(\w+)\.py', CONFIGS[name].read_text())[1]


GROUPS = {base: [name for name in sorted(OF_HEADS) if base_of(name) == base] for base in SETTINGS}
load = functools.cache(Config.fromfile)


def sibling(name: str, scope: str) -> tuple[dict, Config]:
    head, schedule = SIBLINGS[scope]
    entry = next(
        entry
        for entry in MODELS_BY_NAME.values()
        if entry['Metadata']['Backbone'] == MODELS_BY_NAME[name]['Metadata']['Backbone']
        and entry['Metadata']['Head'] == head
        and entry['Metadata']['Schedule'] in (schedule, entry['Metadata']['Schedule'] if schedule is None else schedule)
        and entry['Name'] not in OF_HEADS
    )
    return entry['Metadata'], load(ROOT / entry['Config'])


def widths_of(config: Config) -> list[int]:
    model = config.model
    if 'head' in model:
        return [model.head.in_channels]
    return list(model.neck.in_channels if 'neck' in model else model.decode_head.in_channels)


def without(node: dict, *keys: str) -> dict:
    return {key: value for key, value in node.items() if key not in keys}


def test_all_heads_have_all_pyramids():
    assert {path.stem for path in (ROOT / 'configs' / '_base_' / 'heads').glob('*.py')} == {*SETTINGS}
    counts = {base: len(names) for base, names in GROUPS.items()}
    assert sum(counts.values()) == len(OF_HEADS)
    partial = {base: count for base, count in counts.items() if count != 13}
    # Cascade Mask R-CNN 3x stands elsewhere for five; layer decay is for the four main families.
    assert partial.pop('cascade_mask_rcnn_amp_ms_3x_coco') == 8
    assert {*partial} == {base for base in SETTINGS if 'layer_decay' in base} and {*partial.values()} == {4}


@pytest.mark.parametrize('base', SETTINGS)
def test_recipes_are_a_head_and_the_backbone_of_a_sibling(base):
    common = load(ROOT / 'configs' / '_base_' / 'heads' / f'{base}.py')
    rate, decay, batch, length, best, head, schedule = SETTINGS[base]
    costs = {}
    for name in GROUPS[base]:
        config, meta = load(CONFIGS[name]), MODELS_BY_NAME[name]['Metadata']
        of_sibling, other = sibling(name, config.default_scope)
        assert (meta['Head'], meta['Schedule']) == (head, schedule) and MODELS_BY_NAME[name]['Results'] == []

        # The backbone of the sibling, with weights of its variant.
        backbone, model = config.model.backbone, other.model
        skipped = ('init_cfg', 'out_indices', 'norm_cfg') if config.default_scope == 'mmpretrain' else ('init_cfg',)
        expected = dict(model.backbone, **({'out_indices': (1, 2, 3)} if head in FROM_STRIDE_8 else {}))
        assert without(backbone, *skipped) == without(expected, *skipped), name
        if base == 'imagenet_100e':
            assert 'init_cfg' not in backbone and backbone.out_indices == (3,)
        else:
            weights = re.sub(r'[\W_]', '', backbone.init_cfg.checkpoint.lower())
            assert re.sub(r'[\W_]', '', meta['Backbone']) in weights

        # Its widths where this head reads them, and nothing else that differs from the base.
        widths = widths_of(other)
        read = widths[1:] if head in FROM_STRIDE_8 else widths
        places = dict(auxiliary_head=widths[min(2, len(widths) - 1)], head=widths[-1])
        for place, part in without(config.model, 'backbone').items():
            if config.default_scope == 'mmpretrain' and place == 'neck':
                assert part == model.neck
            elif place in READERS and 'in_channels' in part:
                assert part.in_channels == places.get(place, read), (name, place)
                assert without(part, 'in_channels') == without(common.model[place], 'in_channels')
            else:
                assert part == common.model[place], (name, place)
        loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_pipeline', 'test_pipeline')
        own = ('model', 'backbone', 'channels', *(loaders if name.startswith('swinmlp-') else ()))
        assert without(config.to_dict(), *own) == without(common.to_dict(), 'model', *own), name
        if name.startswith('swinmlp-'):  # at 256x256
            assert all(config[loader] == other[loader] for loader in loaders)

        costs.setdefault(tuple(widths), []).append(
            (meta['Parameters'] - of_sibling['Parameters'], meta['FLOPs'] - of_sibling['FLOPs'], meta, of_sibling)
        )
    assert common.optim_wrapper.optimizer.type == 'AdamW'
    assert (common.optim_wrapper.optimizer.lr, common.optim_wrapper.optimizer.weight_decay) == (rate, decay)
    assert batch == common.auto_scale_lr.base_batch_size == 8 * common.train_dataloader.batch_size
    schedulers = common.param_scheduler if isinstance(common.param_scheduler, list) else [common.param_scheduler]
    assert length == schedulers[-1].end == (common.train_cfg.get('max_epochs') or common.train_cfg.max_iters)
    assert common.randomness.diff_rank_seed and common.randomness.get('seed') is None
    assert (common.optim_wrapper.type == 'AmpOptimWrapper') == ('amp' in base.split('_'))
    hook = KeepingCheckpointHook(**without(common.default_hooks.checkpoint, 'type'))
    assert (hook.key_indicators, hook.rules) == ([best], ['greater'])
    # Backbones of the same widths get heads of the same cost, but for the norm of an output that is left out.
    for widths, found in costs.items():
        parameters, macs = [cost[0] for cost in found], [cost[1] for cost in found]
        assert max(parameters) - min(parameters) <= 2 * widths[0], base
        if all(meta['Input Size'] == other['Input Size'] for *_, meta, other in found):
            assert len({*macs}) == 1, base


def narrow(model: ConfigDict, base: str) -> None:
    """A slim backbone, and few layers, queries, points and regions in the head."""
    out = model.backbone.get('out_indices', range(4))
    model.backbone.update(arch=slim_arch('CycleMLP'))
    model.backbone.pop('init_cfg', None)
    wanted = [DIMS[i] for i in out]
    for place in READERS:
        if 'in_channels' in model.get(place, {}):
            single = isinstance(model[place].in_channels, int)
            model[place].in_channels = wanted[2 if place == 'auxiliary_head' else -1] if single else wanted
    processor = model.get('data_preprocessor') or {}
    for augment in processor.get('batch_augments') or []:
        augment.size = (64, 80)
    if 'decode_head' in model:
        processor.size = (64, 80)
        for place in ('decode_head', 'auxiliary_head'):
            if 'channels' in model.get(place, {}):
                model[place].channels = 32
    if base.startswith('rtmdet'):
        model.neck.norm_cfg.num_groups, processor.pad_size_divisor = 2, 32
    if base.startswith('dino'):
        model.num_queries, model.encoder.num_layers, model.decoder.num_layers = 30, 1, 2
    if base.startswith('mask2former'):
        head = model.get('panoptic_head') or model.decode_head
        head.num_queries, head.pixel_decoder.encoder.num_layers, head.transformer_decoder.num_layers = 10, 1, 2
        (model.train_cfg if 'panoptic_head' in model else head.train_cfg).num_points = 64
    if base.startswith('sparse'):
        model.rpn_head.num_proposals = 10
    if 'bbox_head' in model.get('roi_head', {}) and 'rcnn' in base and not base.startswith('sparse'):
        heads, stages = model.roi_head.bbox_head, model.train_cfg.rcnn
        for head in heads if isinstance(heads, list) else [heads]:
            head.fc_out_channels = 32
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 16


@pytest.mark.parametrize('base', SETTINGS)
def test_training_step(base):
    """Finite loss, a gradient for each parameter, rates and decays as the base says, and a step that changes all."""
    name = next((name for name in GROUPS[base] if 'cyclemlp' in name), GROUPS[base][0])
    config = Config.fromfile(CONFIGS[name])
    config.model.backbone.type = 'mlp_backbones.CycleMLP'
    config.model.backbone.pop('norm_cfg', None)
    model = config.model
    narrow(model, base)
    config.optim_wrapper.type = 'OptimWrapper'  # mixed precision needs a GPU
    fuse_where_possible(config)
    model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    kind = {'mmdet': 'mask_rcnn', 'mmseg': 'upernet', 'mmpretrain': 'classifier'}[config.default_scope]
    batch = data(kind)
    if kind == 'mask_rcnn' and 'mask' not in base:
        for sample in batch['data_samples']:
            del sample.gt_instances.masks
    if 'panoptic' in base:
        for sample in batch['data_samples']:
            sample.gt_sem_seg = PixelData(sem_seg=torch.randint(0, 133, (1, *sample.img_shape)))
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = revert_sync_batchnorm(MODELS.build(model)).train()
        model.init_weights()  # some heads hold memory as it was found until then
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    assert torch.isfinite(loss)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    settings = {names[id(p)]: g for g in wrapper.optimizer.param_groups for p in g['params']}
    assert {*settings} == {*names.values()}
    rate, decay = SETTINGS[base][:2]
    for name, group in settings.items():
        in_backbone = name.startswith('backbone.')
        if 'layer_decay' in base and in_backbone:
            depth, layers = model.backbone.get_layer_depth(name, 'backbone.')
            assert group['lr'] == pytest.approx(rate * 0.9 ** (layers - 1 - depth))
        else:
            other = 10 if base.startswith('segformer') else 1
            assert group['lr'] == pytest.approx(rate * (FACTORS.get(base, 1) if in_backbone else other))
        norm = isinstance(
            model.get_submodule(name.rpartition('.')[0]), (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
        )
        embedding = re.search('query_embed|query_feat|level_embed', name)
        # The 1x and 3x detectors of mmdet let all decay.
        spared = (in_backbone and norm) or (embedding and base.startswith('mask2former'))
        if spared:
            assert group['weight_decay'] == (decay if base.startswith(('dino', 'sparse')) else 0), name
        elif not norm and name.endswith('.weight'):
            assert group['weight_decay'] == decay, name
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    wrapper.step()
    moving = {n: p for n, p in model.named_parameters() if p.grad.abs().max() > 1e-30}
    assert not any(torch.equal(before[n], p) for n, p in moving.items())
