# Same settings as for ConvMLP-S.
_base_ = 'semfpn_convmlp-s_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='l', init_cfg=dict(checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_l_imagenet.pth')
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
