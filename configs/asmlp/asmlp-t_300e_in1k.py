# AS-MLP-T on ImageNet-1K, as released by the authors.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.ASMLP', arch='tiny', out_indices=(3,), drop_path_rate=0.2),
    head=dict(in_channels=768),
)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
