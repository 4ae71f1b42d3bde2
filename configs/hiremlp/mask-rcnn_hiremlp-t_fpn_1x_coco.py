# Mask R-CNN, Hire-MLP-T, COCO, 1x. No published result. No detection code of Hire-MLP was released and its settings
# could not be read: taken here is the 1x recipe of PVT and CycleMLP. SyncBN in the backbone and its drop path are
# those of the released segmentation code.
_base_ = '../_base_/mask_rcnn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.HireMLP',
        arch='tiny',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_tiny.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
