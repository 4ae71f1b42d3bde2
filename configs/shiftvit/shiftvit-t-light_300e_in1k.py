# ShiftViT-T/light on ImageNet-1K. The authors' code gives optimizer, schedule and drop path; augmentations are Swin's.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.ShiftViT', arch='t_light', out_indices=(3,), drop_path_rate=0.2),
    head=dict(in_channels=768),
)
