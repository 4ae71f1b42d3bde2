# Same settings as for Hire-MLP-T except the drop path.
_base_ = 'cascade-mask-rcnn_hiremlp-t_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_base.pth'
        ),
    ),
)
