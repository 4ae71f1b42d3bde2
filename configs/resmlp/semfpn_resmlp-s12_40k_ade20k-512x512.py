# No published result. Same settings as for ResMLP-S24.
_base_ = 'semfpn_resmlp-s24_40k_ade20k-512x512.py'

model = dict(backbone=dict(arch='s12', init_cfg=dict(checkpoint='mlp_backbones://resmlp_s12')))
