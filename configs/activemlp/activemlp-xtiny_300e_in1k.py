# ActiveMLP-xT on ImageNet-1K, as the authors' code has it: 5e-4 per 512 images, repeated augmentation, no decay of the
# position convolutions, and a moving average.
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.ActiveMLP', arch='xtiny', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.pos.': dict(decay_mult=0.0)}))
custom_hooks = [dict(type='EMAHook', momentum=4e-5, update_buffers=True, priority='ABOVE_NORMAL')]
