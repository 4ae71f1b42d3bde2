# CMT-S on ImageNet-1K at 224x224. The authors' README gives epochs, batch, learning rate and weight decay; the other
# settings are Swin's.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.CMT', arch='s', out_indices=(3,), drop_path_rate=0.1, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.CMTNeck', channels=512),
    head=dict(in_channels=1280),
)
