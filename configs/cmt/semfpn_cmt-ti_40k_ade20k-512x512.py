# No published result. Same settings as for CMT-S.
_base_ = 'semfpn_cmt-s_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='ti', init_cfg=dict(checkpoint='mlp_backbones://cmt_ti')),
    neck=dict(in_channels=[46, 92, 184, 368]),
)
