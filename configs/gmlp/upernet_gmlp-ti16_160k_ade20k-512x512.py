# UperNet, gMLP-Ti/16, ADE20K, 160k. No published result. The protocol of all families (Swin's recipe), with the drop
# path of ImageNet-1K. Images are mixed on the native grid.
_base_ = ['../_base_/backbones/gmlp_ti16.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
