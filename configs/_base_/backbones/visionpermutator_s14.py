# Vision Permutator (s14) for the dense recipes. No weights are linked: train visionpermutator-s14_300e_in1k first.
# Images are mixed on the native grid ('resize'), as RaftMLP does with Mixer: with 'tile' the tiles would not see each
# other.
channels = [384] * 4
backbone = dict(
    type='mlp_backbones.VisionPermutator',
    arch='s14',
    spatial_rule='resize',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/visionpermutator-s14_300e_in1k/epoch_310.pth',
    ),
)
# Bring the one stride, 14, to those of the heads, 3.5 to 28, as mmseg does for ViT.
pyramid = dict(
    type='mmseg.Feature2Pyramid',
    embed_dim=channels[0],
    rescales=[4, 2, 1, 0.5],
    norm_cfg=dict(type='SyncBN', requires_grad=True),
)
strides = [3.5, 7, 14, 28, 56]
