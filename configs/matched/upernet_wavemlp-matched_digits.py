_base_ = ['../_base_/matched/wavemlp.py', '../_base_/matched/upernet.py']

model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
