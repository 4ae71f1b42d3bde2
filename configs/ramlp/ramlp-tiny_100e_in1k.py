# RaMLP-T on ImageNet-1K in 100 epochs. No published result. The network and its drop path are those of
# ramlp-tiny_300e_in1k.
_base_ = '../_base_/heads/imagenet_100e.py'

model = dict(
    backbone=dict(type='mlp_backbones.RaMLP', arch='tiny', out_indices=(3,), drop_path_rate=0.2, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.RaMLPNeck', channels=512),
    head=dict(in_channels=2048),
)
