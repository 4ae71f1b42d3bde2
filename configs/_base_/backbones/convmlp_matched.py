# A ConvMLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 56, 112, 224]
backbone = dict(
    type='mlp_backbones.ConvMLP',
    arch=dict(stem_dim=channels[0], dims=channels[1:], conv_depth=1, depths=[2, 2, 2], mlp_ratios=[2, 2, 2]),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
