# Same as the released config, whose mIoU could not be read.
_base_ = 'semfpn_hiremlp-t_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_small.pth'
        ),
    ),
)
