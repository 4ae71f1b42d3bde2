# UperNet, Hire-MLP-S, ADE20K, 80,000 iterations of 32 images (8 GPUs x 4), as released: as many images as 160,000 of
# 16. Weight decay applies to all parameters.
_base_ = ['../_base_/backbones/hiremlp_small.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
optim_wrapper = dict(optimizer=dict(lr=1.2e-4), paramwise_cfg=None)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=800),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=800, end=80000),
]
auto_scale_lr = dict(base_batch_size=32)
