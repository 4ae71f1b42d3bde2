# An MS-MLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [36, 72, 144, 288]
backbone = dict(
    type='mlp_backbones.MSMLP',
    arch=dict(dims=channels, depths=[3, 2, 2, 2]),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
