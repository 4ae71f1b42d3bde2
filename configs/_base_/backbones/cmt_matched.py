# A CMT of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mlp_backbones.CMT',
    arch=dict(stem_dim=8, dims=channels, depths=[1, 2, 4, 2], mlp_ratios=[3.5] * 4, native_size=128),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
