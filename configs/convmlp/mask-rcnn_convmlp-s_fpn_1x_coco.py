# Mask R-CNN, ConvMLP-S, COCO, 1x (12 epochs, one scale, 8 GPUs x 2 images), as released by the authors.
_base_ = '../_base_/mask_rcnn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
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
