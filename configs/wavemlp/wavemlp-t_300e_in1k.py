# Wave-MLP-T on ImageNet-1K, as in the paper (arXiv 2111.12294v1) and the README command: DeiT's recipe, with repeated
# augmentation and a moving average.
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.WaveMLP', arch='t', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
# timm's average, with decay 0.99996, also averages the statistics of BatchNorm.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, update_buffers=True, priority='ABOVE_NORMAL')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
