# No published result. Same settings as for Hire-MLP-S.
_base_ = 'upernet_hiremlp-s_160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='tiny', init_cfg=dict(checkpoint='mlp_backbones://hiremlp_tiny')))
