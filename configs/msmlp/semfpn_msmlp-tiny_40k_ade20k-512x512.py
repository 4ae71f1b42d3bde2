# Semantic FPN, MS-MLP-T, ADE20K, 40k. No published result. The protocol of all families (PVT's recipe: 8 GPUs x 4
# images), with the drop path of ImageNet-1K.
_base_ = ['../_base_/backbones/msmlp_tiny.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
