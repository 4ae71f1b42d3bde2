# UperNet, ShiftViT-T, ADE20K, 160k. The paper (arXiv 2201.10801) follows Swin: its recipe, with its drop path.
_base_ = ['../_base_/backbones/shiftvit_t.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
