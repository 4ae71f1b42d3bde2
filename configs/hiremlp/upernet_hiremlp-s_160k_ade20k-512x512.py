# UperNet, Hire-MLP-S, ADE20K, 160k. No published result: the released schedule is 80k at batch 32; this is its
# optimizer with half of the batch and learning rate.
_base_ = ['../_base_/backbones/hiremlp_small.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
optim_wrapper = dict(paramwise_cfg=None)
