# MLP-Mixer-S/16 on ImageNet-1K. The sources of the results do not give their settings. This config uses Swin's recipe,
# whose optimizer, batch, warm-up and decay Vision Permutator shares, with DeiT's drop path.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.MLPMixer', arch='s16', out_indices=(7,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
