# ConvMLP-S on ImageNet-1K, as released by the authors: learning rate 5e-4 at 8 GPUs x 128 images, and a moving
# average.
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.ConvMLP', arch='s', out_indices=(3,), drop_path_rate=0.1, out_norm=True),
    head=dict(in_channels=512),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
# The released code starts the warm-up at 1e-4, its default, and trains for 10 more epochs at the last learning rate.
train_cfg = dict(max_epochs=310)
param_scheduler = [*_base_.param_scheduler, dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=300, end=310)]
param_scheduler[0].update(start_factor=0.2)
# timm's average, with decay 0.99996, also averages the statistics of BatchNorm.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, update_buffers=True, priority='ABOVE_NORMAL')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
