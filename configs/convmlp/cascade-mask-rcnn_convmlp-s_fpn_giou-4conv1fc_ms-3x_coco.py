# Cascade Mask R-CNN, ConvMLP-S, COCO, 3x with multi-scale training. No published result. The recipe is that of
# AS-MLP's, with the drop path of all ConvMLPs. BatchNorms in their convolution blocks have no `norm` in their names
# and decay.
_base_ = '../_base_/cascade_mask_rcnn_ms_3x_coco.py'

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
