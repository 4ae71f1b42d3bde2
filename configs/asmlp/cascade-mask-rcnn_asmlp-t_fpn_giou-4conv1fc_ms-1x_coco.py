# Cascade Mask R-CNN, AS-MLP-T, COCO, 1x with multi-scale training. The base file of the released config is missing:
# its heads are Swin's, as the file name says (giou, 4conv1fc). The README of svip-lab/AS-MLP links to a share page
# with the ImageNet-1K weights: save the file under this name.
_base_ = '../_base_/cascade_mask_rcnn_ms_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.ASMLP',
        arch='tiny',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/asmlp_tiny.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
