"""Every family in real detectors, segmentors and classifiers: loss, backward, predict."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData

from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import slim, slim_arch

pytestmark = pytest.mark.slow

ROI = dict(type='mmdet.SingleRoIExtractor', out_channels=8, featmap_strides=[4, 8, 16, 32])
ASSIGN = dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.0, ignore_iof_thr=-1)
DELTA = dict(type='mmdet.DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4)
CE = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
L1 = dict(type='mmdet.L1Loss')
NMS = dict(type='nms', iou_threshold=0.5)


def sampler(num):
    return dict(type='mmdet.RandomSampler', num=num, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True)


def anchors(**kwargs):
    return dict(type='mmdet.AnchorGenerator', ratios=[1.0], **kwargs)


def fpn(channels, **kwargs):
    return dict(type='mmdet.FPN', in_channels=list(channels), out_channels=8, num_outs=5, **kwargs)


def mask_rcnn(backbone, channels):
    head = dict(type='mmdet.Shared2FCBBoxHead', in_channels=8, fc_out_channels=16, num_classes=3, bbox_coder=DELTA)
    proposals = dict(nms_pre=50, max_per_img=20, nms=NMS, min_bbox_size=0)
    train = dict(assigner=ASSIGN, sampler=sampler(16), pos_weight=-1, debug=False)
    return dict(
        type='mmdet.MaskRCNN',
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_mask=True),
        backbone=backbone,
        neck=fpn(channels),
        rpn_head=dict(
            type='mmdet.RPNHead',
            in_channels=8,
            feat_channels=8,
            anchor_generator=anchors(scales=[8], strides=[4, 8, 16, 32, 64]),
            bbox_coder=DELTA,
            loss_cls=CE,
            loss_bbox=L1,
        ),
        roi_head=dict(
            type='mmdet.StandardRoIHead',
            bbox_roi_extractor=dict(**ROI, roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
            bbox_head=dict(**head, loss_cls=dict(type='mmdet.CrossEntropyLoss'), loss_bbox=L1),
            mask_roi_extractor=dict(**ROI, roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
            mask_head=dict(
                type='mmdet.FCNMaskHead',
                num_convs=1,
                in_channels=8,
                conv_out_channels=8,
                num_classes=3,
                loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True),
            ),
        ),
        train_cfg=dict(rpn=dict(**train, allowed_border=-1), rpn_proposal=proposals, rcnn=dict(**train, mask_size=28)),
        test_cfg=dict(rpn=proposals, rcnn=dict(score_thr=0.0, nms=NMS, max_per_img=10, mask_thr_binary=0.5)),
    )


def retinanet(backbone, channels):
    return dict(
        type='mmdet.RetinaNet',
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
        backbone=backbone,
        neck=fpn(channels, start_level=1, add_extra_convs='on_input'),
        bbox_head=dict(
            type='mmdet.RetinaHead',
            num_classes=3,
            in_channels=8,
            stacked_convs=1,
            feat_channels=8,
            anchor_generator=anchors(octave_base_scale=4, scales_per_octave=1, strides=[8, 16, 32, 64, 128]),
            bbox_coder=DELTA,
            loss_cls=dict(type='mmdet.FocalLoss'),
            loss_bbox=L1,
        ),
        train_cfg=dict(assigner=ASSIGN, sampler=dict(type='mmdet.PseudoSampler'), allowed_border=-1, pos_weight=-1),
        test_cfg=dict(nms_pre=20, min_bbox_size=0, score_thr=0.0, nms=NMS, max_per_img=10),
    )


def segmentor(backbone, **kwargs):
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(64, 80), pad_val=0, seg_pad_val=255),
        backbone=backbone,
        test_cfg=dict(mode='whole'),
        **kwargs,
    )


def upernet(backbone, channels):
    head = dict(type='mmseg.UPerHead', in_index=[0, 1, 2, 3], pool_scales=(1, 2), channels=8, num_classes=3)
    return segmentor(backbone, decode_head=dict(**head, in_channels=list(channels), align_corners=False))


def semantic_fpn(backbone, channels):
    head = dict(type='mmseg.FPNHead', in_index=[0, 1, 2, 3], in_channels=[8] * 4, channels=8, num_classes=3)
    return segmentor(
        backbone,
        neck=dict(type='mmseg.FPN', in_channels=list(channels), out_channels=8, num_outs=4),
        decode_head=dict(**head, feature_strides=[4, 8, 16, 32], align_corners=False),
    )


def classifier(backbone, channels):
    return dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'),
        backbone=dict(**backbone, out_indices=(3,)),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=channels[-1]),
    )


MODELS = {f.__name__: f for f in (mask_rcnn, retinanet, upernet, semantic_fpn, classifier)}


def data(name):
    """Two images of different sizes (of one size for the segmentor and classifier), each with its truth."""
    images, samples = [], []
    for height, width in ((61, 80), (64, 75)) if name in ('mask_rcnn', 'retinanet') else ((64, 80),) * 2:
        images.append(torch.randint(0, 255, (3, height, width), dtype=torch.uint8))
        meta = dict(img_shape=(height, width), ori_shape=(height, width), pad_shape=(64, 80), scale_factor=(1.0, 1.0))
        if name in ('mask_rcnn', 'retinanet'):
            from mmdet.structures import DetDataSample
            from mmdet.structures.mask import BitmapMasks

            masks = np.zeros((1, height, width), np.uint8)
            masks[:, 10:40, 10:50] = 1
            sample = DetDataSample(metainfo=meta)
            truth = dict(bboxes=torch.tensor([[10.0, 10, 50, 40]]), labels=torch.tensor([1]))
            sample.gt_instances = InstanceData(**truth, masks=BitmapMasks(masks, height, width))
            sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        elif name == 'classifier':
            from mmpretrain.structures import DataSample

            sample = DataSample(metainfo=meta).set_gt_label(1)
        else:
            from mmseg.structures import SegDataSample

            sample = SegDataSample(metainfo=meta)
            sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, height, width)))
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('family', FAMILIES)
def test_loss_backward_and_predict(family, name):
    cfg = MODELS[name](dict(type=f'mlp_backbones.{family}', arch=slim_arch(family)), slim(family).out_channels)
    with DefaultScope.overwrite_default_scope(cfg['type'].split('.')[0]):
        model = ROOT_MODELS.build(Config(cfg))
        model.init_weights()
        batch = model.data_preprocessor(data(name), training=True)
        losses = model.train()(**batch, mode='loss')
        loss, _ = model.parse_losses(losses)
        assert torch.isfinite(loss)
        loss.backward()
        # RetinaNet takes no map of stride 4: what leads to that output alone gets no gradient.
        idle = [n for n, p in model.backbone.named_parameters() if p.grad is None]
        assert all(n.startswith('out_norms.0') for n in idle) and (not idle or name == 'retinanet')
        with torch.no_grad():
            results = model.eval()(**model.data_preprocessor(data(name)), mode='predict')
    assert len(results) == 2
    for result in results:
        if name == 'classifier':
            assert result.pred_score.shape == (3,)
        elif name in ('upernet', 'semantic_fpn'):
            assert result.pred_sem_seg.data.shape == (1, 64, 80)
        else:
            assert torch.isfinite(result.pred_instances.scores).all()
            assert name == 'retinanet' or result.pred_instances.masks.shape[1:] == result.ori_shape
