# UperNet, SpiralMLP-B2, Cityscapes, 80k. No published result. The drop path is that of UperNet 160k.
_base_ = ['../_base_/backbones/spiralmlp_b2.py', '../_base_/heads/upernet_80k_cityscapes.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
