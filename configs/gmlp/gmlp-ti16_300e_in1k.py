# gMLP-Ti/16 on ImageNet-1K. The sources of the results give AdamW and 300 epochs. This config uses Swin's recipe with
# DeiT's drop path.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.GMLP', arch='ti16', out_indices=(29,), drop_path_rate=0.1),
    head=dict(in_channels=128),
)
