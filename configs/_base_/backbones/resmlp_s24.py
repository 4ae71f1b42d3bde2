# ResMLP (s24) with its published ImageNet-1K weights, trained with distillation, for the dense recipes.
# Images are mixed on the native grid ('resize'), as RaftMLP does with Mixer: with 'tile' the tiles would not see each
# other.
channels = [384] * 4
backbone = dict(
    type='mlp_backbones.ResMLP',
    arch='s24',
    spatial_rule='resize',
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://resmlp_s24'),
)
# Bring the one stride, 16, to those of the heads, 4 to 32, as mmseg does for ViT.
pyramid = dict(
    type='mmseg.Feature2Pyramid',
    embed_dim=channels[0],
    rescales=[4, 2, 1, 0.5],
    norm_cfg=dict(type='SyncBN', requires_grad=True),
)
