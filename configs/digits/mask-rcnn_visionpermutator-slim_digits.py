# The slim Mask R-CNN of the digit scenes with a slim Vision Permutator of one scale, whose native size is that of the
# scenes.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

dims = [96] * 4
model = dict(
    backbone=dict(
        type='mlp_backbones.VisionPermutator',
        arch=dict(_delete_=True, patch_size=8, dims=dims, depths=[2, 2, 4, 2], segments=[24] * 4, strides=[1] * 3),
    ),
    # Bring four stages of stride 8 to the strides of the heads, 4 to 32.
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=dims[0], rescales=[2, 1, 0.5, 0.25]),
        dict(type='FPN', in_channels=dims, out_channels=_base_.width, num_outs=4),
    ],
)
