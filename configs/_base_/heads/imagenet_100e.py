# ImageNet-1K from scratch in 100 epochs, one protocol for all families: that of Swin with 5 epochs of warm-up and
# gradients clipped at 5.
_base_ = '../imagenet_300e_warmup5.py'

train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5, end=100, convert_to_iter_based=True),
]
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
