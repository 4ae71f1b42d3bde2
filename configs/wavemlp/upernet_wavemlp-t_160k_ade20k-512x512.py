# UperNet, Wave-MLP-T, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path and
# the norms of the other heads. BatchNorms of the phases have no `norm` in their names and decay.
_base_ = ['../_base_/backbones/wavemlp_t.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
