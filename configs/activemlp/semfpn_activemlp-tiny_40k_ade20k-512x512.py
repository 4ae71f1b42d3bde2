# Semantic FPN, ActiveMLP-T, ADE20K, 40k. The README of microsoft/ActiveMLP gives the results, no settings: PVT's (8
# GPUs x 4 images), with the drop path of ImageNet-1K.
_base_ = ['../_base_/backbones/activemlp_tiny.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
