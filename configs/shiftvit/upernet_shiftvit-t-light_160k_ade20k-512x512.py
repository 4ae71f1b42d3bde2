# No published result. Same settings as for ShiftViT-T.
_base_ = 'upernet_shiftvit-t_160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='t_light', init_cfg=dict(checkpoint='mlp_backbones://shiftvit_t_light')))
