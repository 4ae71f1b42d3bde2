# The slim UperNet of the digit scenes with a ShiftViT of the same widths and depths.
_base_ = 'upernet_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.ShiftViT', arch=dict(n_div=8)))
