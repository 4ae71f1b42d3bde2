# ImageNet-1K from scratch, 300 epochs of 1,024 images per step (8 GPUs x 128), 20 of them warm-up. The stock data set
# brings RandAugment (magnitude 9, std 0.5, increasing), random erasing (0.25) and tests at crop ratio 0.875. Vectors
# (norms and biases) do not decay. timm and Swin, on which the released codes are based, give these and the start of the
# warm-up.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py', 'mmpretrain::_base_/default_runtime.py']

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
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
loader = dict(batch_size=128, collate_fn=dict(type='default_collate'), persistent_workers=True, pin_memory=True)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=5)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=3, save_best='accuracy/top1'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=20, end=300, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=1024)
# Each process draws its own augmentations, Mixup and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
