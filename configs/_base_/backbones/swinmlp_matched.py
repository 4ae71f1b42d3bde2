# A Swin-MLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mlp_backbones.SwinMLP',
    # Same windows as in the Swin of the comparison.
    arch=dict(dims=channels, depths=[2, 2, 6, 2], heads=[2, 4, 8, 16], window_size=4),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
