"""mmdet's detectors as plain functions of an image, which torch can export whole."""

from collections.abc import Sequence

import torch
import torchvision  # noqa: F401 (registers torch.ops.torchvision)
from mmdet.models.dense_heads import RPNHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, SingleRoIExtractor, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, DistancePointBBoxCoder
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from ..drawing import paste_masks
from ..errors import UserError
from .export import WholeGraph

# Rows added to a second stage, which then has at least one in every image; they are left out of its results.
SPARE_BOX = [[0.0, 0.0, 1.0, 1.0]]


class DetectorGraph(WholeGraph):
    """A detector of mmdet as a plain function of one image, with its NMS.

    It computes what the detector's ``predict`` does, in operators whose sizes a graph can leave open. The heads, prior
    generators and box coders are the detector's own; NMS and RoIAlign are torchvision's, which ONNX has as operators.

    Args:
        detector: one- or two-stage, whose heads predict as mmdet's base classes do.

    Shapes:
        image ``[1, 3, H, W]``, normalised, to boxes ``[K, 4]`` (x1, y1, x2, y2, in pixels of this image), scores
        ``[K]``, labels ``[K]`` int64, and of a mask head masks ``[K, h, w]``: probabilities within each box.

    Raises:
        UserError: if a part of the detector predicts in another way.
    """

    one_image = True
    tolerance = 1e-3

    def __init__(self, detector: nn.Module):
        super().__init__()
        reason = _foreign_part(detector)
        if reason:
            raise UserError(f'{type(detector).__name__} cannot be exported as a whole: {reason}; export its --backbone')
        self.detector = detector
        self.divisor = getattr(detector.data_preprocessor, 'pad_size_divisor', 1) or 1
        with_masks = isinstance(detector, TwoStageDetector) and detector.roi_head.with_mask
        self.output_names = ('boxes', 'scores', 'labels', 'masks')[: 4 if with_masks else 3]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        detector, (height, width) = self.detector, images.shape[2:]
        features = detector.extract_feat(self._pad(images))
        if not isinstance(detector, TwoStageDetector):
            return _dense_boxes(detector.bbox_head, features, (height, width))
        proposals, _, _ = _dense_boxes(detector.rpn_head, features, (height, width))
        head = detector.roi_head
        boxes, scores, labels = _refined_boxes(head, features, proposals, (height, width))
        masks = (_masks(head, features, boxes, labels),) if head.with_mask else ()
        return boxes, scores, labels, *masks

    @torch.no_grad()
    def reference(self, images: Tensor) -> tuple[Tensor, ...]:
        """The detector's own prediction: as ``forward``, but masks are ``[K, H, W]`` bool."""
        size = tuple(images.shape[2:])
        padded = self._pad(images)
        sizes = dict(img_shape=size, ori_shape=size, pad_shape=padded.shape[2:], batch_input_shape=padded.shape[2:])
        sample = DetDataSample(metainfo=dict(sizes, scale_factor=(1.0, 1.0)))
        found = self.detector.predict(padded, [sample], rescale=True)[0].pred_instances
        return tuple(found[dict(boxes='bboxes').get(name, name)] for name in self.output_names)

    def difference(self, images: Tensor, outputs: Sequence[Tensor]) -> float:
        """Compare outputs of the graph with the library's ``predict``; see :func:`detection_difference`."""
        size = (images.shape[2], images.shape[3])
        if len(outputs) > 3:
            outputs = (*outputs[:3], paste_masks(outputs[3], outputs[0], size, self.mask_threshold))
        wanted = self.reference(images)
        self.compared += len(wanted[0])
        return detection_difference(outputs, wanted, size)

    @property
    def mask_threshold(self) -> float:
        return self.detector.roi_head.test_cfg['mask_thr_binary']

    def _pad(self, images: Tensor) -> Tensor:
        # The library pads after it normalises.
        height, width = images.shape[2:]
        value = getattr(self.detector.data_preprocessor, 'pad_value', 0)
        return F.pad(images, (0, -width % self.divisor, 0, -height % self.divisor), value=value)


def detection_difference(found: Sequence[Tensor], wanted: Sequence[Tensor], size: tuple[int, int]) -> float:
    """Compare two sets of detections, in any order.

    Args:
        found: boxes ``[K, 4]``, scores ``[K]``, labels ``[K]``, and possibly masks ``[K, H, W]`` bool.
        wanted: the same of the library.
        size: (H, W) of the image.

    Returns:
        The largest difference of a score, of a coordinate relative to the longer side, or of a mask as the share of
        the image. 1 if more than a twentieth of the detections of either has no counterpart, of the same label and
        within 1e-3: where two scores or overlaps are nearly equal, rounding decides which boxes stay.
    """
    largest, missing, free = 0.0, 0, torch.ones(len(found[1]), dtype=torch.bool)
    for i in range(len(wanted[1])):
        apart = (found[0] - wanted[0][i]).abs().amax(1) / max(size)
        apart = torch.maximum(apart, (found[1] - wanted[1][i]).abs())
        if len(wanted) > 3:
            apart = torch.maximum(apart, (found[3] != wanted[3][i]).float().mean((1, 2)))
        apart[~free | (found[2] != wanted[2][i])] = 1
        if len(apart) and apart.min() < 1e-3:
            free[apart.argmin()] = False
            largest = max(largest, apart.min().item())
        else:
            missing += 1
    missing = max(missing, int(free.sum()))
    return largest if missing <= max(len(found[1]), len(wanted[1])) / 20 else 1.0


def _dense_boxes(head: nn.Module, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Boxes, scores and labels of a head that predicts at every position; in an RPN the label is the level."""
    cfg, is_rpn = head.test_cfg, isinstance(head, RPNHead)
    outputs = head(features)
    like = outputs[0][0]
    priors = head.prior_generator.grid_priors([maps.shape[-2:] for maps in outputs[0]], like.dtype, like.device)
    levels = []
    for level, (anchors, logits, deltas, *factors) in enumerate(zip(priors, *outputs, strict=True)):
        logits = logits[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
        scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[:, :-1]
        classes = scores.shape[1]
        scores, index = _largest(scores.flatten(), cfg.get('nms_pre', -1))
        place = index // classes
        labels = torch.full_like(index, level) if is_rpn else index % classes
        deltas = deltas[0].permute(1, 2, 0).reshape(-1, head.bbox_coder.encode_size)[place]
        factors = [factor[0].permute(1, 2, 0).flatten()[place].sigmoid() for factor in factors]
        levels.append((scores, labels, anchors[place], deltas, *factors))
    scores, labels, anchors, deltas, *factors = (torch.cat(parts) for parts in zip(*levels, strict=True))
    boxes = _decode(head.bbox_coder, anchors, deltas, size)
    # Scores are -1 where there are fewer candidates than nms_pre.
    valid = scores > (-0.5 if is_rpn else cfg.get('score_thr', 0))
    least = cfg.get('min_bbox_size', -1)
    if least >= 0:
        valid = valid & ((boxes[:, 2:] - boxes[:, :2]) > least).all(1)
    for factor in factors:
        scores = scores * factor
    return _suppress(boxes, scores, labels, valid, cfg)


def _largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest of ``scores [n]`` and their places, for any n: those that lack are -1, at place 0."""
    if count <= 0:
        return scores, torch.arange(scores.shape[0], device=scores.device)
    scores, index = F.pad(scores, (0, count), value=-1.0).topk(count)
    return scores, torch.where(scores < 0, 0, index)


def _decode(coder: nn.Module, anchors: Tensor, deltas: Tensor, size: tuple[int, int]) -> Tensor:
    # The coder would write into views, and bound them by numbers that a graph would keep.
    boxes = coder.decode(anchors, deltas)
    if not coder.clip_border:
        return boxes
    height, width = size
    return torch.stack((boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)), 2).flatten(1)


def _suppress(boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, cfg: dict) -> tuple[Tensor, ...]:
    """The best of the valid boxes after NMS within each label, in falling order of scores."""
    # As mmcv does it, boxes of different labels are moved so far apart that they do not overlap.
    span = boxes.max() - boxes.min().clamp(max=0) + 1
    index = valid.nonzero().squeeze(1)
    boxes, scores, labels = boxes[index], scores[index], labels[index]
    apart = boxes if cfg['nms'].get('class_agnostic') else boxes + (labels * span)[:, None]
    kept = torch.ops.torchvision.nms(apart, scores, cfg['nms']['iou_threshold'])[: cfg['max_per_img']]
    return boxes[kept], scores[kept], labels[kept]


def _refined_boxes(
    head: nn.Module, features: Sequence[Tensor], proposals: Tensor, size: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Boxes, scores and labels of a second stage, or of each after the other."""
    bbox_heads, extractors = _list(head.bbox_head), _list(head.bbox_roi_extractor)
    boxes = torch.cat((proposals, proposals.new_tensor(SPARE_BOX)))
    logits = []
    for stage, (bbox_head, extractor) in enumerate(zip(bbox_heads, extractors, strict=True)):
        logit, deltas = bbox_head(_pool(extractor, features, boxes))
        logits.append(logit)
        if stage < len(bbox_heads) - 1:
            if not bbox_head.reg_class_agnostic:
                best = logit[:, :-1].argmax(1)[:, None, None].expand(-1, 1, 4)
                deltas = deltas.reshape(-1, bbox_head.num_classes, 4).gather(1, best).squeeze(1)
            boxes = _decode(bbox_head.bbox_coder, boxes, deltas, size)
    last = bbox_heads[-1]
    scores = (sum(logits) / len(logits)).softmax(-1)[:-1, :-1]
    classes = last.num_classes
    regressed = 1 if last.reg_class_agnostic else classes
    anchors = boxes[:, None].expand(-1, regressed, 4).reshape(-1, 4)
    boxes = _decode(last.bbox_coder, anchors, deltas.reshape(-1, 4), size).reshape(-1, regressed, 4)[:-1]
    boxes = boxes.expand(-1, classes, 4).reshape(-1, 4)
    labels = torch.arange(classes, device=boxes.device).expand_as(scores).flatten()
    scores = scores.flatten()
    return _suppress(boxes, scores, labels, scores > head.test_cfg['score_thr'], head.test_cfg)


def _pool(extractor: nn.Module, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """RoIAlign of each box in the level of its size."""
    rois, layers = F.pad(boxes, (1, 0)), extractor.roi_layers
    levels = extractor.map_roi_levels(rois, len(layers))
    height, width = layers[0].output_size
    pooled = boxes.new_zeros(boxes.shape[0], features[0].shape[1], height, width)
    for i, layer in enumerate(layers):
        index = (levels == i).nonzero().squeeze(1)
        options = (layer.spatial_scale, height, width, layer.sampling_ratio, layer.aligned)
        pooled = pooled.index_put((index,), torch.ops.torchvision.roi_align(features[i], rois[index], *options))
    return pooled


def _masks(head: nn.Module, features: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Probabilities ``[K, h, w]`` within each box, of its label."""
    boxes = torch.cat((boxes, boxes.new_tensor(SPARE_BOX)))
    mask_heads, extractors = _list(head.mask_head), _list(head.mask_roi_extractor)
    stages = [stage(_pool(e, features, boxes)).sigmoid() for stage, e in zip(mask_heads, extractors, strict=True)]
    masks = sum(stages) / len(stages)
    if not mask_heads[-1].class_agnostic:
        index = F.pad(labels, (0, 1))[:, None, None, None]
        masks = masks.gather(1, index.expand(-1, 1, *masks.shape[2:]))
    return masks[:-1, 0]


def _list(modules: nn.Module) -> list[nn.Module]:
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]


def _foreign_part(detector: nn.Module) -> str | None:
    """What of a detector predicts in another way than the functions above; None if nothing does."""
    if isinstance(detector, TwoStageDetector) and type(detector).predict is TwoStageDetector.predict:
        if not detector.with_rpn:
            return 'it has no rpn_head'
        dense, roi = detector.rpn_head, detector.roi_head
        if type(roi) not in (StandardRoIHead, CascadeRoIHead):
            return f'its roi_head is a {type(roi).__name__}, not a StandardRoIHead or CascadeRoIHead'
        if roi.with_shared_head:
            return 'its roi_head has a shared_head'
    elif isinstance(detector, SingleStageDetector) and type(detector).predict is SingleStageDetector.predict:
        dense, roi = detector.bbox_head, None
    else:
        return 'it predicts in another way than SingleStageDetector and TwoStageDetector'
    base = RPNHead if roi else BaseDenseHead
    methods = ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')
    own = [name for name in methods if getattr(type(dense), name) is not getattr(base, name)]
    if own or getattr(dense.loss_cls, 'custom_cls_channels', False):
        return f'its {type(dense).__name__} predicts in another way than {base.__name__}'
    parts = [dense]
    if roi:
        parts += _list(roi.bbox_head)
        extractors = _list(roi.bbox_roi_extractor)
        if roi.with_mask:
            extractors += _list(roi.mask_roi_extractor)
            other = [m for m in _list(roi.mask_head) if not _keeps(m, FCNMaskHead)]
            if other:
                return f'its mask_head is a {type(other[0]).__name__}, not an FCNMaskHead'
        for part in parts[1:]:
            if not _keeps(part, BBoxHead) or part.custom_activation or not part.with_reg:
                return f'its {type(part).__name__} predicts in another way than BBoxHead'
        for extractor in extractors:
            if type(extractor) is not SingleRoIExtractor or not all(_is_roi_align(m) for m in extractor.roi_layers):
                return f'its {type(extractor).__name__} is not a SingleRoIExtractor of RoIAlign by averages'
    for part in parts:
        if not isinstance(part.bbox_coder, (DeltaXYWHBBoxCoder, DistancePointBBoxCoder)):
            return f'its bbox_coder is a {type(part.bbox_coder).__name__}, not a coder of deltas or distances'
    for cfg in (dense.test_cfg, *([roi.test_cfg] if roi else [])):
        nms = cfg.get('nms') or {}
        if nms.get('type') != 'nms' or set(nms) - {'type', 'iou_threshold', 'class_agnostic', 'split_thr'}:
            return f'its test_cfg has nms={dict(nms)}, not one of type nms with an iou_threshold'
    return None


def _keeps(head: nn.Module, base: type[nn.Module]) -> bool:
    names = ('predict_by_feat', '_predict_by_feat_single')
    return isinstance(head, base) and all(getattr(type(head), name) is getattr(base, name) for name in names)


def _is_roi_align(layer: nn.Module) -> bool:
    return type(layer).__name__ == 'RoIAlign' and getattr(layer, 'pool_mode', 'avg') == 'avg'
