# Same settings as for ConvMLP-S.
_base_ = 'mask-rcnn_convmlp-s_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='m', init_cfg=dict(checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_m_imagenet.pth')
    ),
)
