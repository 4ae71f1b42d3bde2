# The slim UperNet of the digit scenes with a CMT of the same widths and depths, whose native size is that of the crops.
_base_ = 'upernet_cyclemlp-slim_digits.py'

model = dict(
    backbone=dict(type='mlp_backbones.CMT', arch=dict(stem_dim=16, mlp_ratios=[3.6] * 4, native_size=_base_.crop))
)
