# The slim Mask R-CNN of the digit scenes with a RaftMLP of the same widths and depths, whose native size is that of the
# scenes.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

model = dict(backbone=dict(type='mlp_backbones.RaftMLP', arch=dict(native_size=192)))
