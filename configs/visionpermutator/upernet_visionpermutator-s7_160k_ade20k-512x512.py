# UperNet, ViP-Small/7, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path of
# ImageNet. UperNet takes the stages' strides as they are, 7 and three times 14. Crops of 512 pixels are mixed on the
# native grids ('resize'), as RaftMLP does with Mixer in a detector: with 'tile' the tiles of 224 pixels would not see
# each other.
_base_ = ['../_base_/backbones/visionpermutator_s7.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
