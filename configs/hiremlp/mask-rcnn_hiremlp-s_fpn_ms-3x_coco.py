# Mask R-CNN, Hire-MLP-S, COCO, 3x with multi-scale training. No detection code of Hire-MLP was released and its
# settings could not be read: taken here is the 3x recipe of Swin and AS-MLP. SyncBN in the backbone and its drop path
# are those of the released segmentation code.
_base_ = '../_base_/mask_rcnn_ms_3x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.HireMLP',
        arch='small',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_small.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
