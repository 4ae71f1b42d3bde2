# Mask2Former, SpiralMLP-B2, COCO, 50 epochs with large-scale jitter. No published result. The drop path is that of Mask
# R-CNN 3x.
_base_ = ['../_base_/backbones/spiralmlp_b2.py', '../_base_/heads/mask2former_lsj_50e_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    panoptic_head=dict(in_channels=_base_.channels),
)
