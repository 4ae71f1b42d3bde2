# Same settings as for AS-MLP-T except the drop path.
_base_ = 'cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.3, init_cfg=dict(checkpoint='checkpoints/asmlp_base.pth')),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
