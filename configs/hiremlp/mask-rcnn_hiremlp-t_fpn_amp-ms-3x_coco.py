# No published result. Same settings as for Hire-MLP-S, in mixed precision.
_base_ = ['../_base_/backbones/hiremlp_tiny.py', '../_base_/mask_rcnn_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
