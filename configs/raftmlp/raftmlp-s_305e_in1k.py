# RaftMLP-S on ImageNet-1K. The authors' code gives the settings: 2e-3 at batch 2048, in proportion 1e-3 at 1024; 305
# epochs, 5 of them warm-up.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.RaftMLP', arch='s', out_indices=(3,), drop_path_rate=0.1, out_norm=True),
    head=dict(in_channels=512),
)
train_cfg = dict(max_epochs=305)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5, end=305, convert_to_iter_based=True),
]
