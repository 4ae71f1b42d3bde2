# Same settings as for Hire-MLP-T.
_base_ = 'retinanet_hiremlp-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_small.pth'
        ),
    ),
)
