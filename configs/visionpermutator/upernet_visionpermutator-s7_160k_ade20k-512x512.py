# UperNet, ViP-Small/7, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path of
# ImageNet. UperNet takes the stages' strides as they are, 7 and three times 14. Crops of 512 pixels are mixed on the
# native grids ('resize'), as RaftMLP does with Mixer in a detector: with 'tile' the tiles of 224 pixels would not see
# each other. No weights are linked: those are of visionpermutator-s7_300e_in1k, trained before.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.VisionPermutator',
        arch='s7',
        spatial_rule='resize',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/visionpermutator-s7_300e_in1k/epoch_300.pth'),
    ),
    decode_head=dict(in_channels=[192, 384, 384, 384]),
    auxiliary_head=dict(in_channels=384),
)
