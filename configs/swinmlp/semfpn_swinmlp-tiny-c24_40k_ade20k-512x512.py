# No published result. Same settings as for Swin-MLP-T/C6.
_base_ = 'semfpn_swinmlp-tiny-c6_40k_ade20k-512x512.py'

model = dict(backbone=dict(arch='tiny_c24', init_cfg=dict(checkpoint='mlp_backbones://swinmlp_tiny_c24')))
