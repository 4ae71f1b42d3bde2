# No published result. Same settings as for MLP-Mixer-B/16, except for the weights. No weights are linked: train
# mlpmixer-s16_300e_in1k first.
_base_ = ['../_base_/backbones/mlpmixer_s16.py', '../_base_/semfpn_40k_ade20k.py']

model = dict(
    backbone=_base_.backbone,
    neck=[_base_.pyramid, dict(_base_.model.neck, in_channels=_base_.channels)],
)
