# Mask R-CNN, Wave-MLP-T, COCO, 3x with multi-scale training. Source: Wave-MLP paper, arXiv 2111.12294v1, table 9, with
# the optimizer of its 1x rows. Not given: scales and schedule (those of Swin and AS-MLP are used); the rest is as in
# 1x.
_base_ = ['../_base_/backbones/wavemlp_t.py', '../_base_/mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg=None)
