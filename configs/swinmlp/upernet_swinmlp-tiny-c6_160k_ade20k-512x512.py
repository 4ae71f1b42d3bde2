# UperNet, Swin-MLP-T/C6, ADE20K, 160k. No published result. The recipe is that of Swin-T. There are no linked weights:
# those are of swinmlp-tiny-c6_300e_in1k, trained before.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.SwinMLP',
        arch='tiny_c6',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/swinmlp-tiny-c6_300e_in1k/epoch_300.pth'),
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
