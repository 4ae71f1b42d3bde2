# The slim UperNet of the digit scenes with a slim Vision Permutator, whose native size is that of the scenes.
_base_ = 'cyclemlp_upernet_digits.py'

dims = [64, 128, 128, 128]
model = dict(
    backbone=dict(
        type='mlp_backbones.VisionPermutator',
        arch=dict(patch_size=4, dims=dims, segments=[32, 16, 16, 16], steps=[2, 1, 1]),
    ),
    decode_head=dict(in_channels=dims),
    auxiliary_head=dict(in_channels=dims[2]),
)
