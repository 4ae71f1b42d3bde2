# Semantic FPN, ConvMLP-S, ADE20K, 40k (8 GPUs x 4 images), as released by the authors.
_base_ = '../_base_/semfpn_40k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.ConvMLP',
        arch='s',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_s_imagenet.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
