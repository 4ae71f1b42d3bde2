# A ResNet of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [26, 52, 104, 208]
backbone = dict(
    type='mmdet.ResNet',
    depth=18,
    stem_channels=32,
    base_channels=channels[0],
    norm_eval=False,
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
