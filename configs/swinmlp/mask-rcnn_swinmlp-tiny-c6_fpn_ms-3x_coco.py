# Mask R-CNN, Swin-MLP-T/C6, COCO, 3x with multi-scale training. No published result. The recipe is that of Swin-T.
_base_ = ['../_base_/backbones/swinmlp_tiny_c6.py', '../_base_/mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
