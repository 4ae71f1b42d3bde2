# No published result. Same settings as for gMLP-Ti/16, except for the weights: those that timm trained, which take
# images with mean and standard deviation of 127.5.
_base_ = 'mask-rcnn_gmlp-ti16_fpn_amp-ms-3x_coco.py'

neck = _base_.model.neck
neck[0].update(embed_dim=256)
neck[1].update(in_channels=[256] * 4)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(arch='s16', init_cfg=dict(checkpoint='mlp_backbones://gmlp_s16')),
    neck=neck,
)
