# Mask R-CNN, CycleMLP-B2, COCO, 100 epochs with large-scale jitter, in mixed precision. No published result. The drop
# path is that of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/cyclemlp_b2.py', '../_base_/heads/mask_rcnn_amp_lsj_100e_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
