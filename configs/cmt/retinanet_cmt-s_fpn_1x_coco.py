# RetinaNet, CMT-S, COCO, 1x. The result was read in a quotation, which gives no settings: PVT's 1x recipe, with the
# drop path of ImageNet-1K. BatchNorms of the backbone are SyncBN.
_base_ = ['../_base_/backbones/cmt_s.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
