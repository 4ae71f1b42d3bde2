# The slim Mask R-CNN of the digit scenes with a slim ResMLP, whose native size is that of the scenes.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

dim = 96
model = dict(
    backbone=dict(
        type='mlp_backbones.ResMLP',
        arch=dict(_delete_=True, dim=dim, depth=8, patch_size=8, native_size=192),
    ),
    # Bring four blocks of stride 8 to the strides of the heads, 4 to 32.
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=dim, rescales=[2, 1, 0.5, 0.25]),
        dict(type='FPN', in_channels=[dim] * 4, out_channels=_base_.width, num_outs=4),
    ],
)
