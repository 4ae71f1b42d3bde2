# The slim Mask R-CNN of the digit scenes with a slim Sparse-MLP, whose native size is that of the scenes.
_base_ = 'mask-rcnn_cyclemlp-slim_digits.py'

dim = 96
model = dict(
    backbone=dict(
        type='mlp_backbones.SparseMLP',
        arch=dict(
            _delete_=True,
            dim=dim,
            depths=[6, 2],
            patch_size=8,
            native_size=192,
            sparse_tokens=576,
            sparse_dim=dim,
            token_experts=4,
            token_hidden=dim,
            channel_experts=4,
            channel_hidden=4 * dim,
        ),
    ),
    # Bring four blocks of stride 8 to the strides of the heads, 4 to 32.
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=dim, rescales=[2, 1, 0.5, 0.25]),
        dict(type='FPN', in_channels=[dim] * 4, out_channels=_base_.width, num_outs=4),
    ],
)
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
