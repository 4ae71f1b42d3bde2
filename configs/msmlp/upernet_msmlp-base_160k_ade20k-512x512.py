# Same settings as for MS-MLP-T.
_base_ = 'upernet_msmlp-tiny_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint='mlp_backbones://msmlp_base')),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
