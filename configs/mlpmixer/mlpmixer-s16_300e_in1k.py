# MLP-Mixer-S/16 on ImageNet-1K. The sources of the results do not state their settings: taken here is Swin's recipe,
# whose optimizer, batch, warm-up and decay are Vision Permutator's too, with DeiT's drop path.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.MLPMixer', arch='s16', out_indices=(7,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
