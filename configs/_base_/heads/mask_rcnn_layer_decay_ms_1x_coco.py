# Fine-tuning of Mask R-CNN in 12 epochs: Swin's recipe with a cosine, and each earlier layer of the backbone learns at
# 0.9 of the rate of the next. It is the decay of ConvNeXt's UperNet in mmseg.
# `model.backbone.frozen_stages=0` also freezes the stem. For data of your own:
# `python -m mlp_backbones new-config RECIPE --data FOLDER` sets data and classes.
_base_ = '../mask_rcnn_ms_1x_coco.py'

optim_wrapper = dict(
    constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9, norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True, begin=0, end=12, convert_to_iter_based=True),
]
