# Swin-MLP-B on ImageNet-1K at 224x224, as released: the settings of Swin-B.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.SwinMLP', arch='base', out_indices=(3,), drop_path_rate=0.5),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
