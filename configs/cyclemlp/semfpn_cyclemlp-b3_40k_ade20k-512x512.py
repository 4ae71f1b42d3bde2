# Same settings as for CycleMLP-B1.
_base_ = 'semfpn_cyclemlp-b1_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='b3',
        init_cfg=dict(checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B3.pth'),
    ),
)
