# No published result. Same settings as for CycleMLP-B1.
_base_ = 'cascade-mask-rcnn_cyclemlp-b1_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='b2',
        init_cfg=dict(checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B2.pth'),
    ),
)
