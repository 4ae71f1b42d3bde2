# Same settings as for MLP-Mixer-S/16, except for the weights: those that timm links, which were pre-trained on
# ImageNet-21k, and take images with mean and standard deviation of 127.5.
_base_ = 'upernet_mlpmixer-s16_160k_ade20k-512x512.py'

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(arch='b16', init_cfg=dict(checkpoint='mlp_backbones://mlpmixer_b16')),
    decode_head=dict(in_channels=[768] * 4),
    auxiliary_head=dict(in_channels=768),
)
