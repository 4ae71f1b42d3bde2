# Semantic FPN, SpiralMLP-B2, ADE20K, 40k. No published result. The protocol of all families (PVT's recipe: 8 GPUs x 4
# images), with the drop path of all training in the authors' code.
_base_ = ['../_base_/backbones/spiralmlp_b2.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
