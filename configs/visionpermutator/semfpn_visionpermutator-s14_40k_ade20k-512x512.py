# No published result. The protocol of all families (PVT's recipe: 8 GPUs x 4 images), with the drop path of
# ImageNet-1K. Images are mixed on the native grid. No weights are linked: train visionpermutator-s14_300e_in1k first.
_base_ = ['../_base_/backbones/visionpermutator_s14.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=[_base_.pyramid, dict(_base_.model.neck, in_channels=_base_.channels)],
)
