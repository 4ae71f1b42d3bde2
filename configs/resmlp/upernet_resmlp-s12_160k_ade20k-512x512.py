# No published result. Same settings as for ResMLP-S24.
_base_ = 'upernet_resmlp-s24_160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='s12', init_cfg=dict(checkpoint='mlp_backbones://resmlp_s12')))
