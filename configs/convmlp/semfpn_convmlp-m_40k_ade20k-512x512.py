# Same settings as for ConvMLP-S.
_base_ = 'semfpn_convmlp-s_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='m', init_cfg=dict(checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_m_imagenet.pth')
    ),
)
