# Mask R-CNN, RaMLP-T, COCO, 1x. No published result. The protocol of all families (PVT's 1x recipe), with the drop path
# of ImageNet-1K. BatchNorms of the backbone are SyncBN.
_base_ = ['../_base_/backbones/ramlp_tiny.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
