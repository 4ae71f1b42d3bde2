# Same settings as for MLP-Mixer-S/16, except for the weights: those that timm links, which were pre-trained on
# ImageNet-21k, and take images with mean and standard deviation of 127.5.
_base_ = 'mask-rcnn_mlpmixer-s16_fpn_1x_coco.py'

neck = _base_.model.neck
neck[0].update(embed_dim=768)
neck[1].update(in_channels=[768] * 4)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(arch='b16', init_cfg=dict(checkpoint='mlp_backbones://mlpmixer_b16')),
    neck=neck,
)
