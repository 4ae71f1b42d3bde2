# Wave-MLP-T on ImageNet-1K, as in the paper (arXiv 2111.12294v1) and the README command: DeiT's recipe, with 5 epochs
# of warm-up, repeated augmentation and a moving average.
_base_ = '../_base_/imagenet_310e.py'

model = dict(
    backbone=dict(type='mlp_backbones.WaveMLP', arch='t', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=5)
param_scheduler[1].update(begin=5)
# timm's average, with decay 0.99996, also averages the statistics of BatchNorm.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, update_buffers=True, priority='ABOVE_NORMAL')]
