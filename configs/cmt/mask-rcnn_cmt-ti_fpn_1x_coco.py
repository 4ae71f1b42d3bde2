# No published result. Same settings as for CMT-S.
_base_ = 'mask-rcnn_cmt-s_fpn_1x_coco.py'

model = dict(
    backbone=dict(arch='ti', init_cfg=dict(checkpoint='mlp_backbones://cmt_ti')),
    neck=dict(in_channels=[46, 92, 184, 368]),
)
