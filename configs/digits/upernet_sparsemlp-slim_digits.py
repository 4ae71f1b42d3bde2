# The slim UperNet of the digit scenes with a slim Sparse-MLP, whose native size is that of the crops.
_base_ = 'upernet_cyclemlp-slim_digits.py'

dim = 64
model = dict(
    backbone=dict(
        type='mlp_backbones.SparseMLP',
        arch=dict(
            _delete_=True,
            dim=dim,
            depths=[3, 1],
            patch_size=4,
            native_size=_base_.crop,
            sparse_tokens=512,
            sparse_dim=dim,
            token_experts=4,
            token_hidden=dim,
            channel_experts=4,
            channel_hidden=4 * dim,
        ),
    ),
    decode_head=dict(in_channels=[dim] * 4),
    auxiliary_head=[dict(head, in_channels=dim) for head in _base_.model.auxiliary_head],
)
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
