# The slim UperNet of the digit scenes with a ConvMLP of the same widths.
_base_ = 'upernet_cyclemlp-slim_digits.py'

dims = _base_.dims
model = dict(
    backbone=dict(
        type='mlp_backbones.ConvMLP',
        arch=dict(
            _delete_=True,
            stem_dim=dims[0],
            dims=dims[1:],
            conv_depth=1,
            depths=[1, 2, 1],
            mlp_ratios=[2, 2, 2],
        ),
    )
)
