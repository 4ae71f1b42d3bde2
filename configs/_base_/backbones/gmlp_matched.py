# A gMLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [56] * 4
backbone = dict(
    type='mlp_backbones.GMLP',
    arch=dict(dim=channels[0], depth=6, patch_size=8, native_size=128),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
# Bring the one stride, 8, to those of the heads, 4 to 32, as mmseg does for ViT.
pyramid = dict(type='mmseg.Feature2Pyramid', embed_dim=channels[0], rescales=[2, 1, 0.5, 0.25])
