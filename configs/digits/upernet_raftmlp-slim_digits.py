# The slim UperNet of the digit scenes with a RaftMLP of the same widths and depths, whose native size is that of the
# crops.
_base_ = 'upernet_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.RaftMLP', arch=dict(native_size=_base_.crop)))
