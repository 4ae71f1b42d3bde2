# Same settings as for ActiveMLP-T.
_base_ = 'upernet_activemlp-tiny_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='large', init_cfg=dict(checkpoint='mlp_backbones://activemlp_large')),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
