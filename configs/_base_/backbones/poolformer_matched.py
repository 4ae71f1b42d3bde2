# A PoolFormer of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mmpretrain.PoolFormer',
    arch=dict(layers=[2, 2, 5, 2], embed_dims=channels, mlp_ratios=[4, 4, 4, 4], layer_scale_init_value=1e-5),
    out_indices=(0, 2, 4, 6),
    frozen_stages=-1,
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
