# Mask R-CNN, Swin-MLP-T/C6, COCO, 3x with multi-scale training. No published result. The recipe is that of Swin-T.
# There are no linked weights: those are of swinmlp-tiny-c6_300e_in1k, trained before.
_base_ = '../_base_/mask_rcnn_ms_3x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.SwinMLP',
        arch='tiny_c6',
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/swinmlp-tiny-c6_300e_in1k/epoch_300.pth'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
