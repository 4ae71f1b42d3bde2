# A RaftMLP of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [28, 58, 112, 224]
backbone = dict(
    type='mlp_backbones.RaftMLP',
    arch=dict(dims=channels, depths=[2, 2, 2, 2], native_size=128),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
