# Same settings as for Hire-MLP-S except the drop path.
_base_ = 'mask-rcnn_hiremlp-s_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_base.pth'
        ),
    ),
)
