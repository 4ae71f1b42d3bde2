# The slim UperNet of the digit scenes with a slim Vision Permutator, whose native size is that of the crops.
_base_ = 'upernet_cyclemlp-slim_digits.py'

dims = [72, 144, 144, 144]
model = dict(
    backbone=dict(
        type='mlp_backbones.VisionPermutator',
        arch=dict(patch_size=4, dims=dims, segments=[24, 12, 12, 12], strides=[2, 1, 1]),
    ),
    decode_head=dict(in_channels=dims),
    auxiliary_head=[dict(head, in_channels=dims[head['in_index']]) for head in _base_.model.auxiliary_head],
)
