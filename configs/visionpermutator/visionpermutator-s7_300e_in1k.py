# ViP-Small/7 on ImageNet-1K: the command of the README at half its batch, 1e-3 for 1,024 images per step (released:
# 2,048 and 2e-3, by the same rule).
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.VisionPermutator', arch='s7', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=384),
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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# The released code trains for 10 more epochs at the last learning rate.
train_cfg = dict(max_epochs=310)
param_scheduler = [*_base_.param_scheduler, dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=300, end=310)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
