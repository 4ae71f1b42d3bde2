# The slim UperNet of the digit scenes with an ActiveMLP of the same widths, whose stages need two blocks.
_base_ = 'upernet_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.ActiveMLP', arch=dict(depths=[2, 2, 2, 2], share_sizes=[2, 4, 4, 8])))
