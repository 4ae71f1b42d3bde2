# UperNet, Sparse-MLP-S, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path of
# ImageNet. UperNet takes four blocks of one stride. Crops of 512 pixels are mixed on the native grid ('resize'), as
# RaftMLP does with Mixer in a detector: with 'tile' the tiles of 224 pixels would not see each other. The two sparse
# blocks, one output of four, then give a map as fine as the native grid, as they have no residual branch around them.
# No weights are linked: train sparsemlp-s_300e_in1k first.
_base_ = ['../_base_/backbones/sparsemlp_s.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
