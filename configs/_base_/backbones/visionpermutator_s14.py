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
