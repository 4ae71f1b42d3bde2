# Same settings as for Wave-MLP-T.
_base_ = 'semfpn_wavemlp-t_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_S.pth.tar'
        ),
    ),
)
