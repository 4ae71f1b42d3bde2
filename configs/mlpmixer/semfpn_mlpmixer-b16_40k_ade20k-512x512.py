# Semantic FPN, MLP-Mixer-B/16, ADE20K, 40k (8 GPUs x 4 images). No published result. The recipe is that of RaftMLP's
# released config (AdamW, 2e-4, weight decay 1e-4, no drop path), except for the neck, as in Mask R-CNN, and the
# weights: those that timm links, which were pre-trained on ImageNet-21k, and take images with mean and standard
# deviation of 127.5.
_base_ = ['../_base_/backbones/mlpmixer_s16.py', '../_base_/semfpn_40k_ade20k.py']

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _base_.backbone, arch='b16', init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://mlpmixer_b16')
    ),
    neck=[
        dict(
            type='Feature2Pyramid',
            embed_dim=768,
            rescales=[4, 2, 1, 0.5],
            norm_cfg=dict(type='SyncBN', requires_grad=True),
        ),
        dict(_base_.model.neck, in_channels=[768] * 4),
    ],
)
