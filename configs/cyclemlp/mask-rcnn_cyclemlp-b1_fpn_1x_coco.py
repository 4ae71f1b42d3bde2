# Mask R-CNN, CycleMLP-B1, COCO, 1x (12 epochs, one scale, 8 GPUs x 2 images). Source: CycleMLP paper, arXiv
# 2107.10224v1, table 5: AdamW, learning rate 1e-4, ImageNet-1K weights. Where it is silent (weight decay) the authors
# refer to the PVT repository. Drop path: their released dense classes have none. They never released a detection
# config. PVT's own Mask R-CNN configs have 2e-4.
_base_ = '../_base_/mask_rcnn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch='b1',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B1.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
