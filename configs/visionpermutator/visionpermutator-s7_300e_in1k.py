# ViP-Small/7 on ImageNet-1K: AdamW, 1e-3 for 1,024 images per step (released: 2,048 and 2e-3, by the same rule), 20
# epochs of warm-up, weight decay 0.05. The rest is not given and follows Swin.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.VisionPermutator', arch='s7', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=384),
)
