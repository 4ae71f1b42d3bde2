# SpiralMLP-B1 on ImageNet-1K. The authors' code gives drop path and dropout of 0.1; the recipe is Swin's.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.SpiralMLP', arch='b1', out_indices=(3,), drop_path_rate=0.1, out_norm=True),
    head=dict(in_channels=512),
)
