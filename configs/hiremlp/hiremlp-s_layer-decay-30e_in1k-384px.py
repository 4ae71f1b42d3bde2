# Fine-tuning with layer decay: Hire-MLP-S on ImageNet-1K at 384x384, 30 epochs. No published result. The drop path is
# that of hiremlp-s_300e_in1k.
_base_ = ['../_base_/backbones/hiremlp_small.py', '../_base_/heads/classifier_layer_decay_30e_in1k.py']

model = dict(
    backbone=dict(**_base_.backbone, out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
