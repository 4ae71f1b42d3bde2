# Semantic FPN, CycleMLP-B1, ADE20K, 40k (8 GPUs x 4 images). Source: CycleMLP paper, arXiv 2107.10224v1, table 6:
# AdamW, learning rate 2e-4, ImageNet-1K weights. For what it omits (weight decay) the authors refer to the PVT
# repository. Drop path: none, as in their released dense classes. They never released a segmentation config.
_base_ = ['../_base_/backbones/cyclemlp_b1.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
