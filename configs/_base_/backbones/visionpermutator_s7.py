# Vision Permutator (s7) for the dense recipes. The README of Andrew-Qibin/VisionPermutator links to a page with the
# ImageNet-1K weights: save the file under this name.
# Images are mixed on the native grid ('resize'), as RaftMLP does with Mixer: with 'tile' the tiles would not see each
# other.
channels = [192, 384, 384, 384]
backbone = dict(
    type='mlp_backbones.VisionPermutator',
    arch='s7',
    spatial_rule='resize',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='checkpoints/visionpermutator_s7.pth',
    ),
)
