# The slim UperNet of the digit scenes with a slim gMLP, whose native size is that of the crops.
_base_ = 'upernet_cyclemlp-slim_digits.py'

dim = 48
model = dict(
    backbone=dict(
        type='mlp_backbones.GMLP',
        arch=dict(_delete_=True, dim=dim, depth=4, patch_size=4, native_size=_base_.crop),
    ),
    decode_head=dict(in_channels=[dim] * 4),
    auxiliary_head=[dict(head, in_channels=dim) for head in _base_.model.auxiliary_head],
)
