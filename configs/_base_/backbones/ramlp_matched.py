# A RaMLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mlp_backbones.RaMLP',
    arch=dict(dims=channels, depths=[1, 1, 2, 1], mlp_ratios=[4, 4, 3, 4]),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
