_base_ = ['../_base_/backbones/msmlp_matched.py', '../_base_/matched_upernet.py']

model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
