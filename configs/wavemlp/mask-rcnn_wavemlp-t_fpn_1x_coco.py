# Mask R-CNN, Wave-MLP-T, COCO, 1x. Source: Wave-MLP paper, arXiv 2111.12294v1, table 3: AdamW, learning rate 1e-4 and
# batch 16, by PVT's recipe, which gives the weight decay. Not stated: drop path, that of ImageNet-1K; norms, as in
# Hire-MLP's segmentation code of the same repository: SyncBN in the backbone, output norms.
_base_ = '../_base_/mask_rcnn_1x_coco.py'

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
