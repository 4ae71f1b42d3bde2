# UperNet, MLP-Mixer-S/16, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path
# of ImageNet. UperNet takes four blocks of one stride. Crops of 512 pixels are mixed on the native grid ('resize'), as
# RaftMLP does in a detector: with 'tile' the tiles of 224 pixels would not see each other. No weights are linked: train
# mlpmixer-s16_300e_in1k first.
_base_ = ['../_base_/backbones/mlpmixer_s16.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
