# Wave-MLP-T on ImageNet-1K, as in the paper (arXiv 2111.12294v1) and the README command: DeiT's recipe, with repeated
# augmentation and a moving average.
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.WaveMLP', arch='t', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
# timm's `random` interpolation, which the released command leaves as it is: bilinear or bicubic by chance.
train_pipeline = _base_.train_pipeline
train_pipeline[1:4:2] = [
    dict(type='RandomChoice', transforms=[[dict(train_pipeline[1], interpolation='bilinear')], [train_pipeline[1]]]),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(train_pipeline[3], hparams=dict(train_pipeline[3]['hparams'], interpolation='bilinear'))],
            [train_pipeline[3]],
        ],
    ),
]
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'), dataset=dict(pipeline=train_pipeline))
# The released code trains for 10 more epochs at the last learning rate.
train_cfg = dict(max_epochs=310)
param_scheduler = [*_base_.param_scheduler, dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=300, end=310)]
# timm's average, with decay 0.99996, also averages the statistics of BatchNorm.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, update_buffers=True, priority='ABOVE_NORMAL')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
