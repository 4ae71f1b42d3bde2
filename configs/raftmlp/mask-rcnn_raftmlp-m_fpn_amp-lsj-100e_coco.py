# Mask R-CNN, RaftMLP-M, COCO, 100 epochs with large-scale jitter, in mixed precision. No published result. The drop
# path is that of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/heads/mask_rcnn_amp_lsj_100e_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
