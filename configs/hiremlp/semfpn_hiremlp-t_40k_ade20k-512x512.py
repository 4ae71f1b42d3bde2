# Semantic FPN, Hire-MLP-T, ADE20K, 40k (8 GPUs x 4 images). No published result. The settings are those of the
# released config of Hire-MLP-S: the weight decay is 0.05, where PVT and CycleMLP have 1e-4.
_base_ = ['../_base_/backbones/hiremlp_tiny.py', '../_base_/semfpn_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
