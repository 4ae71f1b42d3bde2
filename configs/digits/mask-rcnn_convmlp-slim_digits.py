# The slim Mask R-CNN of the digit scenes with a ConvMLP of the same widths.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

dims = _base_.dims
model = dict(
    backbone=dict(
        type='mlp_backbones.ConvMLP',
        arch=dict(
            _delete_=True,
            stem_dim=dims[0],
            dims=dims[1:],
            conv_depth=2,
            depths=[2, 4, 2],
            mlp_ratios=[2, 2, 2],
        ),
    )
)
