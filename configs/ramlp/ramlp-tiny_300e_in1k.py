# RaMLP-T on ImageNet-1K. The authors' code gives the settings: 4e-3 at batch 4096, in proportion 1e-3 at 1024.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.RaMLP', arch='tiny', out_indices=(3,), drop_path_rate=0.2, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.RaMLPNeck', channels=512),
    head=dict(in_channels=2048),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, begin=20, end=300, convert_to_iter_based=True),
]
