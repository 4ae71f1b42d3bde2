# The slim Mask R-CNN of the digit scenes with a Swin-MLP of the same widths and depths.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.SwinMLP',
        arch=dict(heads=[width // 16 for width in _base_.dims], window_size=4),
    )
)
