# The slim Mask R-CNN of the digit scenes with a ShiftViT of the same widths and depths.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.ShiftViT', arch=dict(n_div=8)))
