# No published result. The protocol of all families (Swin's recipe), with the drop path of ImageNet-1K. Images are mixed
# on the native grid. UperNet takes four stages of one stride. No weights are linked: train
# visionpermutator-s14_300e_in1k first.
_base_ = ['../_base_/backbones/visionpermutator_s14.py', '../_base_/upernet_160k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
