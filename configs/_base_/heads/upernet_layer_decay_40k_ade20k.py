# Fine-tuning of UperNet in 40,000 iterations: Swin's recipe, and each earlier layer of the backbone learns at 0.9 of
# the rate of the next, as ConvNeXt's UperNet in mmseg has it. `model.backbone.frozen_stages=0` also freezes the stem.
# For data of your own: `python -m mlp_backbones new-config RECIPE --data FOLDER` sets data and classes.
_base_ = '../upernet_160k_ade20k.py'

train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
optim_wrapper = dict(
    constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9, norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=40000),
]
