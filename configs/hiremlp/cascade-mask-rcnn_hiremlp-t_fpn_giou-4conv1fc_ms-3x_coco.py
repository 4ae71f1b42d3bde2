# Cascade Mask R-CNN, Hire-MLP-T, COCO, 3x with multi-scale training. No published result. No detection code of Hire-MLP
# was released and its settings could not be read: this config uses the 3x recipe of Swin and AS-MLP. SyncBN in the
# backbone and its drop path are those of the released segmentation code.
_base_ = ['../_base_/backbones/hiremlp_tiny.py', '../_base_/cascade_mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
