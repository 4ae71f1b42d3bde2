# No published result. Same settings as for ShiftViT-T.
_base_ = 'mask-rcnn_shiftvit-t_fpn_1x_coco.py'

model = dict(backbone=dict(arch='t_light', init_cfg=dict(checkpoint='mlp_backbones://shiftvit_t_light')))
