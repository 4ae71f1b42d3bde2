# Cascade Mask R-CNN, CycleMLP-B1, COCO, 3x with multi-scale training. No published result. The recipe is AS-MLP-T's.
_base_ = ['../_base_/backbones/cyclemlp_b1.py', '../_base_/cascade_mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
