# Cascade Mask R-CNN, Swin-MLP-T/C6, COCO, 3x with multi-scale training in mixed precision. No published result. The
# drop path is that of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/swinmlp_tiny_c6.py', '../_base_/heads/cascade_mask_rcnn_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
