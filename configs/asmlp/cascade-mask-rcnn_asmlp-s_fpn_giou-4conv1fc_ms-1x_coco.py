# The released config builds AS-MLP-T (depths 2, 2, 6, 2), which does not have the 107 M parameters of this row.
_base_ = 'cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-1x_coco.py'

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='checkpoints/asmlp_small.pth')),
)
