# No published result. Same settings as for CycleMLP-B1.
_base_ = 'upernet_cyclemlp-b1_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='b2',
        init_cfg=dict(checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B2.pth'),
    ),
)
