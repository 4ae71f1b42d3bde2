# UperNet, ConvMLP-S, ADE20K, 160k. No published result. The recipe is AS-MLP's, with the drop path of all ConvMLPs.
# BatchNorms in their convolution blocks have no `norm` in their names and decay.
_base_ = ['../_base_/backbones/convmlp_s.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
