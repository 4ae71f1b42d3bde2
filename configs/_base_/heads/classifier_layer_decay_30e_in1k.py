# Fine-tuning of a classifier at 384x384 in 30 epochs of 512 images, from weights of 224x224: AdamW, 5e-5, weight decay
# 1e-8, no warm-up, no Mixup and no CutMix, as ConvNeXt (arXiv 2201.03545). Each earlier layer of the backbone learns at
# 0.9 of the rate of the next. For data of your own: `python -m mlp_backbones new-config RECIPE --data FOLDER` sets data
# and classes.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs64_swin_384.py', 'mmpretrain::_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        cal_acc=False,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ),
)
loader = dict(collate_fn=dict(type='default_collate'), persistent_workers=True, pin_memory=True)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=3, save_best='accuracy/top1'))
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=1e-8),
    paramwise_cfg=dict(layer_decay_rate=0.9, norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=0, end=30, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=512)
# Each process draws its own augmentations and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
