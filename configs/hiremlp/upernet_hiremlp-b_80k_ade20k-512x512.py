# No config of this row was released: the settings of Hire-MLP-S.
_base_ = 'upernet_hiremlp-s_80k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_base.pth'
        ),
    ),
)
