# Same settings as for AS-MLP-T.
_base_ = 'mask-rcnn_asmlp-t_fpn_ms-1x_coco.py'

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='checkpoints/asmlp_small.pth')),
)
