# Fine-tuning with layer decay: UperNet, ConvMLP-M, ADE20K, 40k. No published result. The drop path is that of UperNet
# 160k.
_base_ = ['../_base_/backbones/convmlp_m.py', '../_base_/heads/upernet_layer_decay_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
