# Semantic FPN, ConvMLP-S, ADE20K, 40k (8 GPUs x 4 images), as released by the authors.
_base_ = ['../_base_/backbones/convmlp_s.py', '../_base_/semfpn_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
