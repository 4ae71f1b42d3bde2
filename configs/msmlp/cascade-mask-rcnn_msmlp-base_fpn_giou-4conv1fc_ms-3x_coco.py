# Same settings as for MS-MLP-T, except for the drop path.
_base_ = 'cascade-mask-rcnn_msmlp-tiny_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.5, init_cfg=dict(checkpoint='mlp_backbones://msmlp_base')),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
