_base_ = ['../_base_/matched/sparsemlp.py', '../_base_/matched/upernet.py']

model = dict(
    backbone=_base_.backbone,
    neck=_base_.pyramid,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
