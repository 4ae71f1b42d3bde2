# Sparse R-CNN, RaftMLP-M, COCO, 3x with multi-scale training. No published result. The drop path is that of Mask R-CNN
# 3x.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/heads/sparse_rcnn_300_proposals_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
