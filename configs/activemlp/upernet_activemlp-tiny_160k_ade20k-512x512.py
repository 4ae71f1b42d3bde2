# UperNet, ActiveMLP-T, ADE20K, 160k. As the authors' code has it for ActiveMLP-L: AdamW, 6e-5, weight decay 0.01 except
# on names with `norm`, drop path 0.2; the others are not stated. The code trains in half precision: --amp.
_base_ = ['../_base_/backbones/activemlp_tiny.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
