# Mask R-CNN, Wave-MLP-T, COCO, 3x with multi-scale training. Source: Wave-MLP paper, arXiv 2111.12294v1, table 9, with
# the optimizer of its 1x rows. Not stated: scales and schedule, those of Swin and AS-MLP; the rest as in 1x.
_base_ = '../_base_/mask_rcnn_ms_3x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.WaveMLP',
        arch='t',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_T.pth.tar',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg=None)
