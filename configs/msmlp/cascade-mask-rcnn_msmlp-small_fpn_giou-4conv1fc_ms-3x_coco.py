# Same settings as for MS-MLP-T, except for the drop path.
_base_ = 'cascade-mask-rcnn_msmlp-tiny_fpn_giou-4conv1fc_ms-3x_coco.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3, init_cfg=dict(checkpoint='mlp_backbones://msmlp_small')))
