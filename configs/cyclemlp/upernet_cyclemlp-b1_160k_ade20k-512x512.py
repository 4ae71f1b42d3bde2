# UperNet, CycleMLP-B1, ADE20K, 160k. No published result. The recipe is AS-MLP-T's.
_base_ = ['../_base_/backbones/cyclemlp_b1.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
