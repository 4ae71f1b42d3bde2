# UperNet, Hire-MLP-S, Cityscapes, 80k. No published result. The drop path is that of UperNet 160k.
_base_ = ['../_base_/backbones/hiremlp_small.py', '../_base_/heads/upernet_80k_cityscapes.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
