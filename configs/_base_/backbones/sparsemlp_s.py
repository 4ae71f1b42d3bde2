# Sparse-MLP (s) for the dense recipes. No weights are linked: train sparsemlp-s_300e_in1k first.
# Images are mixed on the native grid ('resize'), as RaftMLP does with Mixer: with 'tile' the tiles would not see each
# other.
channels = [512] * 4
backbone = dict(
    type='mlp_backbones.SparseMLP',
    arch='s',
    spatial_rule='resize',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/sparsemlp-s_300e_in1k/epoch_300.pth',
    ),
)
# Bring the one stride, 16, to those of the heads, 4 to 32, as mmseg does for ViT.
pyramid = dict(
    type='mmseg.Feature2Pyramid',
    embed_dim=channels[0],
    rescales=[4, 2, 1, 0.5],
    norm_cfg=dict(type='SyncBN', requires_grad=True),
)
