"""Detectors as graphs give what the library's `predict` does."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from mlp_backbones.apis.detector_graph import DetectorGraph, detection_difference
from mlp_backbones.apis.export import RawGraph
from mlp_backbones.drawing import paste_masks
from mlp_backbones.errors import UserError
from tests.backbones.slim import DIMS

CONFIGS = {
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'ATSS': 'atss/atss_r50_fpn_1x_coco.py',
    'RTMDet': 'rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'FasterRCNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'MaskRCNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'CascadeRCNN': 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
}
SIZES = [(160, 224), (97, 203), (256, 64)]


def slim_detector(name: str) -> nn.Module:
    """A detector of mmdet's stock config, of few channels and classes, with scores that differ from each other."""
    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = get_config(f'mmdet::{CONFIGS[name]}').model
    width, dims = 32, list(DIMS)
    model.backbone = dict(type='mlp_backbones.CycleMLP', arch=dict(dims=dims, depths=[1] * 4, mlp_ratios=[2] * 4))
    if name == 'RTMDet':
        model.backbone['out_indices'] = (1, 2, 3)
        dims = dims[1:]
        model.neck.update(num_csp_blocks=1)
    model.neck.update(in_channels=dims, out_channels=width)
    cfg = model.test_cfg
    cfg = cfg if name in list(CONFIGS)[:4] else cfg.rcnn
    cfg.update(score_thr=0.12, max_per_img=30)
    if 'bbox_head' in model:
        model.bbox_head.update(num_classes=5, in_channels=width, feat_channels=width, stacked_convs=1)
        cfg.nms_pre = 200
    else:
        model.rpn_head.update(in_channels=width, feat_channels=width)
        model.test_cfg.rpn.update(nms_pre=100, max_per_img=60)
        heads = model.roi_head.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            head.update(in_channels=width, fc_out_channels=width, num_classes=5)
        model.roi_head.bbox_roi_extractor.out_channels = width
        if 'mask_head' in model.roi_head:
            model.roi_head.mask_roi_extractor.out_channels = width
            model.roi_head.mask_head.update(in_channels=width, conv_out_channels=16, num_convs=1, num_classes=5)
    detector = MODELS.build(model).eval()
    for part, module in detector.named_modules():
        if 'head' in part and isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
            nn.init.zeros_(module.bias) if module.bias is not None else None
    return detector


def image(size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(load_sample_image('china.jpg')[..., ::-1], size[::-1])


def tensor(size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(image(size).transpose(2, 0, 1)[None].copy())


@pytest.mark.parametrize('name', CONFIGS)
def test_graph_predicts_as_the_library(name):
    graph = DetectorGraph(slim_detector(name)).eval()
    raw = RawGraph(graph, graph.detector.data_preprocessor, 'bgr')
    for size in SIZES if name != 'RTMDet' else [(160, 224), (96, 192), (256, 64)]:
        with torch.no_grad():
            outputs = raw(tensor(size))
        assert raw.difference(tensor(size), outputs) < 1e-4
    assert graph.compared > 20


def test_an_image_without_objects():
    graph = DetectorGraph(slim_detector('MaskRCNN')).eval()
    graph.detector.roi_head.test_cfg.score_thr = 2
    images = torch.zeros(1, 3, *SIZES[0])
    with torch.no_grad():
        outputs = graph(images)
    assert [tuple(part.shape) for part in outputs] == [(0, 4), (0,), (0,), (0, 28, 28)]
    assert graph.difference(images, outputs) == 0


def test_other_ways_to_predict_are_refused_by_name():
    def soft_nms(detector: nn.Module) -> None:
        detector.bbox_head.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.5)

    def own_head(detector: nn.Module) -> None:
        detector.bbox_head.__class__ = type('OwnHead', (type(detector.bbox_head),), dict(_bbox_post_process=None))

    def own_roi_head(detector: nn.Module) -> None:
        detector.roi_head.__class__ = type('OwnRoIHead', (type(detector.roi_head),), {})

    def largest(detector: nn.Module) -> None:
        detector.roi_head.bbox_roi_extractor.roi_layers[0].pool_mode = 'max'

    cases = [
        ('RetinaNet', soft_nms, 'soft_nms'),
        ('RetinaNet', own_head, 'OwnHead'),
        ('FasterRCNN', own_roi_head, 'OwnRoIHead'),
        ('FasterRCNN', largest, 'SingleRoIExtractor'),
    ]
    for name, change, named in cases:
        detector = slim_detector(name)
        change(detector)
        with pytest.raises(UserError, match=named):
            DetectorGraph(detector)


def test_differences_are_found():
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 30]]), torch.tensor([1, 2])
    found = (boxes, torch.tensor([0.9, 0.5]), labels)
    turned = tuple(part.flip(0) for part in found)
    assert detection_difference(turned, found, (100, 100)) == 0
    moved = (boxes + 0.05, found[1] - 2e-4, labels)
    assert detection_difference(moved, found, (100, 100)) == pytest.approx(5e-4, rel=1e-3)
    for other in ((boxes + 1, *found[1:]), (*found[:2], labels + 1), tuple(part[:1] for part in found)):
        assert detection_difference(other, found, (100, 100)) == 1


def test_masks_are_drawn_as_the_library_draws_them():
    torch.manual_seed(0)
    masks = torch.rand(5, 14, 14)
    boxes = torch.tensor([[3.2, 4.1, 30.5, 22.9], [0, 0, 64, 48], [60, 40, 64, 48], [10, 10, 10, 20], [5, 5, 5.5, 5.5]])
    meta = dict(scale_factor=(1.0, 1.0), ori_shape=(48, 64))
    head = MODELS.build(dict(type='mmdet.FCNMaskHead', num_convs=1, class_agnostic=True))
    wanted = head._predict_by_feat_single(
        masks[:, None], boxes, torch.zeros(5), meta, ConfigDict(mask_thr_binary=0.5), activate_map=True
    )
    assert torch.equal(paste_masks(masks, boxes, (48, 64)), wanted)
