# Semantic FPN, AS-MLP-T, ADE20K, 40k. No published result. The recipe is that of CycleMLP's Semantic FPN, with the
# drop path of AS-MLP-T in Mask R-CNN. The README of svip-lab/AS-MLP links to a share page with the ImageNet-1K
# weights: save the file under this name.
_base_ = ['../_base_/backbones/asmlp_tiny.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
