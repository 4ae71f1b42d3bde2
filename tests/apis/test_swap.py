"""Backbones in stock configs: places, refusals, the written file, and dry runs."""

import pytest
import torch
from mmengine.config import Config

import mlp_backbones as mb
from mlp_backbones.apis.edits import Edits, literal, plain
from mlp_backbones.apis.seams import Level, Unplaced, dilated_stride, find_readers, match
from mlp_backbones.apis.stock import find_config
from mlp_backbones.apis.swap import swap_backbone
from mlp_backbones.checkpoints import CheckpointError
from mlp_backbones.checkpoints.weights import IMAGENET_MEAN, IMAGENET_STD
from mlp_backbones.errors import UserError
from tests.conftest import ROOT

CONFIGS = ROOT / 'configs'
FOUR = [Level(256, 4), Level(512, 8), Level(1024, 16), Level(2048, 32)]
STRIDES = [4, 8, 16, 32]


def planned(config: str, backbone: str = 'cyclemlp_b1', **options: str) -> Config:
    return swap_backbone(config, backbone, dry_run=False, **options).config


# What a reader of the old outputs holds, and which of them it reads.


@pytest.mark.parametrize(
    ('model', 'expected'),
    [
        (dict(neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], start_level=1)), [('neck', [1, 2, 3])]),
        (dict(neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], end_level=2)), [('neck', [0, 1, 2])]),
        (dict(neck=dict(type='YOLOV3Neck', in_channels=[2048, 1024, 512, 256])), [('neck', [3, 2, 1, 0])]),
        (dict(neck=dict(type='DilatedEncoder', in_channels=2048)), [('neck', [3])]),
        (
            dict(
                decode_head=dict(type='DepthwiseSeparableASPPHead', in_channels=2048, in_index=3, c1_in_channels=256),
                auxiliary_head=[dict(type='FCNHead', in_channels=1024, in_index=2)],
            ),
            [('decode_head', [3]), ('decode_head', [0]), ('auxiliary_head', [2])],
        ),
        (
            dict(decode_head=dict(type='EncHead', in_channels=[512, 1024, 2048], in_index=(1, 2, 3))),
            [('decode_head', [3])],
        ),
        (
            dict(neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', in_channels=2048)),
            [('head', [3])],
        ),
        (
            dict(panoptic_head=dict(type='Mask2FormerHead', in_channels=[256, 512, 1024, 2048])),
            [('panoptic_head', [0, 1, 2, 3])],
        ),
    ],
)
def test_readers_name_the_outputs_that_they_read(model, expected):
    found = find_readers(dict(type='Model', backbone=dict(type='ResNet'), **model), FOUR)
    assert [(reader.place[1], reader.levels) for reader in found] == expected


@pytest.mark.parametrize(
    'model',
    [
        dict(neck=dict(type='FPN', in_channels=[64, 128, 320, 512])),  # of another backbone
        dict(neck=dict(type='RFP', in_channels=[256, 512, 1024, 2048], rfp_backbone=dict(type='ResNet'))),
        dict(roi_head=dict(shared_head=dict(type='ResLayer'))),
        dict(decode_head=dict(type='FCNHead', in_channels=256, in_index=0)),
        dict(head=dict(type='ClsHead')),
        dict(head=None),
    ],
)
def test_what_holds_no_width_that_can_be_rewritten_is_named(model):
    with pytest.raises(Unplaced):
        find_readers(dict(type='Model', backbone=dict(type='ResNet'), **model), FOUR)


@pytest.mark.parametrize(
    ('old', 'new', 'exact', 'expected'),
    [
        ([8, 16, 32], STRIDES, True, [1, 2, 3]),
        ([16], STRIDES, True, [2]),
        ([16], STRIDES, False, [3]),  # a segmentor reads the last stage of a ViT
        ([16], [4, 8, 16, 16], True, [3]),  # dilated as the old one
        ([4, 8, 8, 8], STRIDES, False, [0, 1, 2, 3]),
        ([16, 16, 16, 16], STRIDES, False, [0, 1, 2, 3]),
        ([2, 4, 8], STRIDES, False, [1, 2, 3]),
        ([None], STRIDES, False, [3]),
        ([8, 16, 64], STRIDES, True, None),
        ([4, 4], STRIDES, True, None),
        ([16, 8, 4], STRIDES, False, None),
        ([2], STRIDES, False, None),
        ([4], STRIDES, True, None),  # the finest branch of an HRNet
    ],
)
def test_outputs_are_matched_by_stride_or_from_the_last(old, new, exact, expected):
    levels = [Level(8, stride) for stride in old]
    if expected is None:
        with pytest.raises(Unplaced):
            match(levels, new, exact)
    else:
        assert match(levels, new, exact) == expected


def test_dilated_backbones_are_told_from_those_of_one_scale():
    def stride(node, *strides):
        return dilated_stride(node, [Level(8, stride) for stride in strides])

    assert stride(dict(dilations=(1, 1, 2, 4)), 4, 8, 8, 8) == 8
    assert stride(dict(dilations=(1, 1, 1, 2)), 16) == 16
    assert stride(dict(), 4, 8, 8, 8) == 8
    assert stride(dict(), 16, 16, 16, 16) is stride(dict(), 4, 8, 16, 32) is None


# Stock configs, without the dry run: every value that must change, and none else.


def test_unread_outputs_are_left_out():
    model = planned('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py').model
    assert model.backbone.out_indices == (1, 2, 3)
    assert (model.neck.in_channels, model.neck.start_level) == ([128, 320, 512], 0)
    head = planned('mmseg::deeplabv3plus/deeplabv3plus_r50b-d8_4xb2-80k_cityscapes-512x1024.py').model
    assert head.backbone.out_indices == (0, 2, 3)
    assert (head.decode_head.in_channels, head.decode_head.c1_in_channels) == (512, 64)
    assert (head.decode_head.in_index, head.auxiliary_head.in_index, head.auxiliary_head.in_channels) == (2, 1, 320)
    assert head.pretrained is None


def test_dilated_backbones_stay_dilated():
    model = planned('mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py').model
    assert (model.backbone.output_stride, model.backbone.out_indices) == (8, (2, 3))
    assert (model.decode_head.in_index, model.auxiliary_head.in_index) == (1, 0)
    detector = planned('mmdet::faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py').model
    assert (detector.backbone.output_stride, detector.backbone.out_indices) == (16, (3,))
    assert detector.rpn_head.in_channels == detector.roi_head.bbox_roi_extractor.out_channels == 512
    assert detector.roi_head.bbox_head.in_channels == 512


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',  # no normalisation
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',  # BGR
        'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py',  # caffe
        'mmpretrain::csra/resnet101-csra_1xb16_voc07-448px.py',  # 0 to 1; beside the model
    ],
)
def test_images_are_normalised_as_the_weights_need(name):
    result = swap_backbone(name, 'cyclemlp_b1', dry_run=False)
    found = result.config.model.get('data_preprocessor') or result.config.data_preprocessor
    assert (found.mean, found.std) == ([*IMAGENET_MEAN], [*IMAGENET_STD])
    assert found.get('bgr_to_rgb', found.get('to_rgb')) is True
    assert any('normalis' in note for note in result.notes)
    untouched = planned(name, weights='none')
    old = result.edits.old
    assert untouched.model.get('data_preprocessor') == old.model.get('data_preprocessor')
    assert untouched.get('data_preprocessor') == old.get('data_preprocessor')


def test_published_weights_are_linked_by_name():
    name = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    assert planned(name).model.backbone.init_cfg.checkpoint == 'mlp_backbones://cyclemlp_b1'
    assert planned(name, weights='cyclemlp_b1').model.backbone.init_cfg.checkpoint == 'mlp_backbones://cyclemlp_b1'
    assert 'init_cfg' not in planned(name, weights='none').model.backbone
    # Normalised as the file needs it, which is not as ImageNet's.
    own = next(w for w in mb.list_weights() if tuple(w.mean) != IMAGENET_MEAN and not w.file)
    config = planned(name, own.variant, weights=own.name)
    assert (config.data_preprocessor.mean, config.data_preprocessor.std) == ([*own.mean], [*own.std])


def test_one_scale_gets_a_pyramid_of_the_old_strides():
    model = planned('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 'visionpermutator_s14').model
    assert model.neck[0] == dict(
        type='mlp_backbones.RescalePyramid', in_channels=[384] * 3, scales=[1.75, 0.875, 0.4375]
    )
    assert model.neck[1].in_channels == [384] * 3
    assert model.neck[1].start_level == 0
    assert model.backbone.spatial_rule == 'resize'
    sparse = planned('mmdet::atss/atss_r50_fpn_1x_coco.py', 'sparsemlp_s')
    assert sparse.custom_hooks == [dict(type='mlp_backbones.AuxiliaryLossHook')]


def test_a_pyramid_of_one_scale_is_taken_out_where_the_new_backbone_has_several():
    model = planned('mmseg::vit/vit_vit-b16_mln_upernet_8xb2-80k_ade20k-512x512.py').model
    assert model.neck is None
    assert model.decode_head.in_channels == [64, 128, 320, 512]
    assert model.auxiliary_head.in_channels == 512


def test_heads_that_read_vectors_get_an_average():
    model = planned('mmpretrain::convnext/convnext-tiny_32xb128_in1k.py', 'convmlp_s').model
    assert model.neck == dict(type='mmpretrain.GlobalAveragePooling')
    assert model.head.in_channels == 512
    assert model.backbone.out_norm is True
    retriever = planned('mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py').model
    assert [node.type for node in retriever.image_encoder] == ['mlp_backbones.CycleMLP', 'GlobalAveragePooling']
    assert retriever.head.in_channels == 512


@pytest.mark.slow
def test_paper_recipe_is_scaled_to_the_batch():
    name = 'mmseg::upernet/upernet_r50_4xb4-20k_voc12aug-512x512.py'  # 16 images
    assert planned(name, recipe='paper').optim_wrapper.optimizer.lr == 6e-5  # UperNet's, for 16
    config = planned('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', recipe='paper')  # 256 images
    assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=1.6e-3, weight_decay=1e-4)  # 1e-4 for 16
    assert config.optim_wrapper.type == 'OptimWrapper'
    kept = planned('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py')
    assert kept.optim_wrapper.optimizer.lr == 0.004
    asmlp = planned('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'asmlp_small', recipe='paper')
    assert asmlp.model.backbone.drop_path_rate == 0.2
    assert asmlp.optim_wrapper.paramwise_cfg.custom_keys.norm.decay_mult == 0.0


def test_layer_decay_goes_on_with_the_new_backbone():
    wrapper = planned('mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py').optim_wrapper
    assert wrapper.constructor == 'mlp_backbones.LayerDecayOptimWrapperConstructor'
    assert wrapper.paramwise_cfg == dict(layer_decay_rate=0.9)


# The written file.


def test_text_gives_the_same_config(tmp_path):
    result = swap_backbone('mmseg::icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832.py', 'cyclemlp_b1', dry_run=False)
    path = tmp_path / 'new.py'
    path.write_text(result.text())
    assert max(map(len, path.read_text().splitlines())) <= 120
    read = Config.fromfile(path)
    # The heads are a list, which is written whole.
    assert plain(read._cfg_dict) == plain(result.config._cfg_dict)


def test_a_config_given_by_its_path_is_inherited_from_relatively(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'\n")
    (tmp_path / 'new').mkdir()
    result = swap_backbone(tmp_path / 'mine.py', 'cyclemlp_b1', dry_run=False)
    (tmp_path / 'new' / 'new.py').write_text(result.text(tmp_path / 'new'))
    tmp_path.rename(moved := tmp_path.with_name('moved'))
    assert Config.fromfile(moved / 'new' / 'new.py').model.head.in_channels == 512


def test_edits_replace_merge_and_rewrite_lists():
    old = Config(dict(a=dict(b=1, c=dict(d=2)), heads=[dict(e=3, f=4), dict(e=5)], kept=6))
    edits = Edits(old)
    edits.set(('a', 'b'), 1, 'no change')
    edits.set(('a', 'c'), dict(g=7), 'another')
    edits.set(('heads', 1, 'e'), 8, 'second')
    edits.set(('new',), dict(h=(9,)), 'new')
    assert [place for place, *_ in edits.changes()] == [('a', 'c'), ('heads',), ('new',)]
    space: dict = {}
    exec(edits.text("'old.py'", 'heading'), space)
    assert (space['a'], space['heads']) == (dict(c=dict(_delete_=True, g=7)), [dict(e=3, f=4), dict(e=8)])
    assert (space['new'], space['_base_']) == (dict(h=(9,)), 'old.py')
    assert old.heads[1].e == 5


@pytest.mark.parametrize('value', [(), (1,), [], {}, {'a.b': [1, 'x' * 90, (2.5, None, True)], 'c': dict(d='y' * 50)}])
def test_literals_are_python(value):
    assert eval(literal(value)) == value
    assert max(map(len, literal(value).splitlines())) <= 120


def test_classes_cannot_be_written():
    with pytest.raises(UserError, match='type'):
        literal([int])


PURE = """
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, LinearClsHead, ResNet

model = dict(
    type=ImageClassifier,
    backbone=dict(type=ResNet, depth=18),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=3, in_channels=512),
)
"""


def test_pure_python_configs_are_swapped_as_objects(tmp_path):
    path = tmp_path / 'pure.py'
    path.write_text(PURE)
    with pytest.raises(UserError, match='read_base'):
        planned(str(path))
    old = Config.fromfile(path)
    result = swap_backbone(old, 'cyclemlp_b1', dry_run=False)
    assert result.config.model.backbone.out_indices == (3,)
    assert old.model.backbone.depth == 18


# Names.


def test_configs_are_found_by_path_scope_and_name(tmp_path):
    path, base = find_config('mmseg::fpn_r50_4xb4-160k_ade20k-512x512.py', CONFIGS)
    assert path.parent.name == 'sem_fpn'
    (tmp_path / 'heir.py').write_text(f'_base_ = {base}\n')
    assert Config.fromfile(tmp_path / 'heir.py').model.decode_head.type == 'FPNHead'
    assert find_config(str(path), CONFIGS)[1] == base
    assert find_config('resnet50_8xb32_in1k', CONFIGS)[1] == "'mmpretrain::resnet/resnet50_8xb32_in1k.py'"
    assert find_config('cyclemlp-b1_300e_in1k', CONFIGS)[0].is_relative_to(CONFIGS)
    assert find_config(str(tmp_path / 'heir.py'), CONFIGS) == (tmp_path / 'heir.py', '')


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('retinanet_r50_fpn_1x_cocoo', 'retinanet_r50_fpn_1x_coco'),
        ('mmdet::nothing_like_it.py', 'give a path'),
        ('mmxyz::a.py', 'not installed'),
        ('beit-base-p16_8xb128-coslr-100e_in1k', 'mmpretrain::beitv2'),  # in three folders
    ],
)
def test_unknown_configs_name_the_nearest(name, hint):
    with pytest.raises(UserError, match=hint):
        find_config(name, CONFIGS)


@pytest.mark.parametrize(
    ('config', 'options', 'named'),
    [
        ('mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py', {}, 'model.roi_head.shared_head'),
        ('mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py', {}, '16, 8, 4, 2, 1'),
        ('mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py', {}, 'model.decode_head'),
        ('mmpretrain::vgg/vgg11_8xb32_in1k.py', {}, 'model.head'),
        ('mmpretrain::conformer/conformer-tiny-p16_8xb128_in1k.py', {}, 'Conformer'),
        ('mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py', {}, 'model.detector'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', dict(backbone='cyclemlp_b9'), 'cyclemlp_b1'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', dict(backbone='CycleMLP'), 'arch'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', dict(recipe='best'), 'keep'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', dict(weights='lost.pth'), 'lost.pth'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', dict(weights='cyclemlp_b3'), 'cyclemlp_b3'),
    ],
)
def test_refusals_name_the_place(config, options, named):
    with pytest.raises(UserError, match=named):
        planned(config, **dict(backbone='cyclemlp_b1') | options)


# Dry runs, and the command.


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'backbone'),
    [
        ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'cyclemlp_b1'),
        ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'mlpmixer_s32'),
        ('mmdet::atss/atss_r50_fpn_1x_coco.py', 'sparsemlp_s'),
        ('mmseg::fastfcn/fastfcn_r50-d32_jpu_psp_4xb4-80k_ade20k-512x512.py', 'hiremlp_tiny'),
        ('mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py', 'convmlp_s'),
    ],
)
def test_swapped_config_trains_and_predicts(config, backbone):
    state = torch.get_rng_state()
    mb.swap_backbone(config, backbone)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.slow
def test_command_writes_a_config_that_it_has_tried(run_here, tmp_path):
    command = ('-m', 'mlp_backbones', 'swap', 'fpn_r50_4xb4-160k_ade20k-512x512', 'cyclemlp_b1')
    done = run_here(*command, '--recipe', 'paper', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (path,) = tmp_path.iterdir()
    config = Config.fromfile(path)
    assert config.model.backbone.type == 'mlp_backbones.CycleMLP'
    assert config.optim_wrapper.optimizer.lr == 1e-4  # 2e-4 for 32 images
    assert '+ model.neck.in_channels = [64, 128, 320, 512]' in done.stdout
    again = run_here(*command, cwd=tmp_path)
    assert again.returncode == 1 and '--force' in again.stdout
    refused = run_here(*command[:3], 'vgg11_8xb32_in1k', 'cyclemlp_b1', '-o', 'refused.py', cwd=tmp_path)
    assert refused.returncode == 1
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.slow
def test_weights_are_loaded_in_the_dry_run(tmp_path):
    torch.save(mb.build_classifier('convmlp_s', num_classes=2).state_dict(), tmp_path / 'good.pth')
    torch.save(mb.build_classifier('mlpmixer_s16', num_classes=2).state_dict(), tmp_path / 'other.pth')
    name = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    config = swap_backbone(name, 'convmlp_s', str(tmp_path / 'good.pth')).config
    assert config.model.backbone.init_cfg.checkpoint == str(tmp_path / 'good.pth')
    with pytest.raises(CheckpointError):
        swap_backbone(name, 'convmlp_s', str(tmp_path / 'other.pth'))
