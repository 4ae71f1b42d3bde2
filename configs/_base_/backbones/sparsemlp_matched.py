# A Sparse-MLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [64] * 4
backbone = dict(
    type='mlp_backbones.SparseMLP',
    arch=dict(
        dim=channels[0],
        depths=[5, 2],
        patch_size=8,
        native_size=128,
        sparse_tokens=256,
        sparse_dim=channels[0],
        token_experts=4,
        token_hidden=128,
        channel_experts=4,
        channel_hidden=256,
    ),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
# Bring the one stride, 8, to those of the heads, 4 to 32, as mmseg does for ViT.
pyramid = dict(type='mmseg.Feature2Pyramid', embed_dim=channels[0], rescales=[2, 1, 0.5, 0.25])
