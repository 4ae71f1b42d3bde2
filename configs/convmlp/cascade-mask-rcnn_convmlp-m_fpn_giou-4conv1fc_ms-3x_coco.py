# No published result. Same settings as for ConvMLP-S.
_base_ = 'cascade-mask-rcnn_convmlp-s_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='m', init_cfg=dict(checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_m_imagenet.pth')
    ),
)
