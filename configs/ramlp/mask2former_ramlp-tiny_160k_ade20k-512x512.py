# Mask2Former, RaMLP-T, ADE20K, 160k. No published result. The drop path is that of UperNet 160k.
_base_ = ['../_base_/backbones/ramlp_tiny.py', '../_base_/heads/mask2former_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
)
