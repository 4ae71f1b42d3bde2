# Same settings as for ActiveMLP-T.
_base_ = 'semfpn_activemlp-tiny_40k_ade20k-512x512.py'

model = dict(backbone=dict(arch='small', init_cfg=dict(checkpoint='mlp_backbones://activemlp_small')))
