# UperNet as with Swin and AS-MLP: 160,000 iterations of 16 images (8 GPUs x 2). No parameter with `norm` in its name
# decays: those of the backbone. Biases do, and the heads' SyncBN (`bn`), as in the released code.
_base_ = ['models/upernet.py', 'datasets/ade20k.py', 'schedules/mmseg_iterations.py']

model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
train_dataloader = dict(batch_size=2)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=160000),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
