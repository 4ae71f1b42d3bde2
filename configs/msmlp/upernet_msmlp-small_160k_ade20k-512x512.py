# Same settings as for MS-MLP-T.
_base_ = 'upernet_msmlp-tiny_160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='small', init_cfg=dict(checkpoint='mlp_backbones://msmlp_small')))
