# Mask R-CNN, RaftMLP-M, COCO, 3x with multi-scale training in mixed precision. No published result. The protocol of all
# families (Swin's 3x recipe), with the drop path of the authors' detectors, 0.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/mask_rcnn_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
