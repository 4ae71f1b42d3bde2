# No published result. Same settings as for CMT-S.
_base_ = 'upernet_cmt-s_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='ti', init_cfg=dict(checkpoint='mlp_backbones://cmt_ti')),
    decode_head=dict(in_channels=[46, 92, 184, 368]),
    auxiliary_head=dict(in_channels=184),
)
