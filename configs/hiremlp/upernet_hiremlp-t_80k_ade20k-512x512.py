# No published result. The settings of Hire-MLP-S.
_base_ = 'upernet_hiremlp-s_80k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='tiny',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_tiny.pth'
        ),
    ),
)
