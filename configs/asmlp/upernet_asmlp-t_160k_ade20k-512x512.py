# UperNet, AS-MLP-T, ADE20K, 160k. The base file of the released config is missing; drop path as in the paper. The
# README of svip-lab/AS-MLP links to a share page with the ImageNet-1K weights: save the file under this name.
_base_ = ['../_base_/backbones/asmlp_tiny.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
