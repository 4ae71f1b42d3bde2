# Same settings as for Wave-MLP-T.
_base_ = 'retinanet_wavemlp-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_S.pth.tar'
        ),
    ),
)
