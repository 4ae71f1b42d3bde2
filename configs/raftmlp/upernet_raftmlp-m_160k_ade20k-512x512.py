# UperNet, RaftMLP-M, ADE20K, 160k. No published result. The protocol of all families (Swin's recipe), with the drop
# path of the authors' detectors, 0.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
