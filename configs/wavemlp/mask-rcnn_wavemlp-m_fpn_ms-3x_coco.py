# Same settings as for Wave-MLP-T.
_base_ = 'mask-rcnn_wavemlp-t_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='m',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_M.pth.tar'
        ),
    ),
)
