# A ShiftViT of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mlp_backbones.ShiftViT',
    arch=dict(dims=channels, depths=[4, 4, 12, 5], n_div=8),
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
