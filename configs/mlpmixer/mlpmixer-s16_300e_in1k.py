# MLP-Mixer-S/16 on ImageNet-1K. The sources of the results do not give their settings. This config uses the recipe of
# Swin and of Vision Permutator, which reports 78.5 for Mixer-B/16 with it. RaftMLP's released recipe for Mixer-B/16,
# which gives the drop path, has 5 epochs of warm-up: _base_ = '../_base_/imagenet_300e_warmup5.py'.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.MLPMixer', arch='s16', out_indices=(7,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
