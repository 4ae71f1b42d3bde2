# As the released codes of Wave-MLP and Vision Permutator train, and test at crop ratio 0.9.
_base_ = 'imagenet_300e.py'

# timm's `random` interpolation, which the released commands leave as it is: bilinear or bicubic by chance.
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
# The released codes train for 10 more epochs at the last learning rate.
train_cfg = dict(max_epochs=310)
param_scheduler = [*_base_.param_scheduler, dict(type='ConstantLR', factor=1.0, by_epoch=True, begin=300, end=310)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
