# Semantic FPN, RaftMLP-M, ADE20K, 40k. The settings are those of the authors' released config (8 GPUs x 4 images):
# AdamW, 2e-4, weight decay 1e-4, poly power 0.9, no drop path. The paper's result was not read.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/semfpn_40k_ade20k.py']

model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.channels),
)
