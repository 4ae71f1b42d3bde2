# Cascade Mask R-CNN, CycleMLP-B1, COCO, 3x with multi-scale training. No published result. The recipe is that of
# AS-MLP-T's.
_base_ = '../_base_/cascade_mask_rcnn_ms_3x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch='b1',
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B1.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
