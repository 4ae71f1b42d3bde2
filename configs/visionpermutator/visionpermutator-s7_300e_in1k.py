# ViP-Small/7 on ImageNet-1K: the command of the README at half its batch, 1e-3 for 1,024 images per step (released:
# 2,048 and 2e-3, by the same rule).
_base_ = '../_base_/imagenet_310e.py'

model = dict(
    backbone=dict(type='mlp_backbones.VisionPermutator', arch='s7', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=384),
)
