# Hire-MLP-B on ImageNet-1K, as in the command of the README: DeiT's recipe, with repeated augmentation and no moving
# average. The code tests at crop ratio 0.875, and does not read the ratio of the model file (0.9).
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.HireMLP', arch='base', out_indices=(3,), drop_path_rate=0.2),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
# The released code trains for 10 more epochs at the last learning rate.
train_cfg = dict(max_epochs=310)
param_scheduler = [*_base_.param_scheduler, dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=300, end=310)]
