# A Swin of 111 to 114 million MACs at 128x128, like all networks of the measured comparison.
channels = [32, 64, 128, 256]
backbone = dict(
    type='mmpretrain.SwinTransformer',
    arch=dict(embed_dims=channels[0], depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
    # Maps of 32 to 4 positions per side.
    window_size=4,
    pad_small_map=True,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.0,
    init_cfg=dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
)
