# Sparse-MLP-S on ImageNet-1K from scratch. No published result: those of the paper come after self-supervised
# pre-training (MoCo v3), which this config does not do. The settings are those of MLP-Mixer. Experts hold their biases
# in matrices, which must not decay either.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.SparseMLP', arch='s', out_indices=(7,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(bias=dict(decay_mult=0.0))))
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
