# UperNet, SpiralMLP-B2, ADE20K, 160k. No published result. The protocol of all families (Swin's recipe), with the drop
# path of all training in the authors' code.
_base_ = ['../_base_/backbones/spiralmlp_b2.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
