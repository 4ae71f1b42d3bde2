# UperNet, MS-MLP-T, ADE20K, 160k. As the paper (arXiv 2202.06510v1, table 7) states: AdamW, 6e-5, linear decay, warm-up
# of 1500 iterations, weight decay 0.01, drop path 0.2. Not stated: which parameters do not decay (Swin's: names with
# `norm`).
_base_ = ['../_base_/backbones/msmlp_tiny.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
