# The slim UperNet of the digit scenes with a RaMLP of the same widths and depths.
_base_ = 'upernet_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.RaMLP'))
