# Same settings as for ActiveMLP-T.
_base_ = 'upernet_activemlp-tiny_160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='xtiny', init_cfg=dict(checkpoint='mlp_backbones://activemlp_xtiny')))
