# ATSS, ActiveMLP-T, COCO, 3x with multi-scale training in mixed precision. No published result. The drop path is that
# of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/activemlp_tiny.py', '../_base_/heads/atss_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
