_base_ = ['../_base_/backbones/ramlp_matched.py', '../_base_/matched_mask_rcnn.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
